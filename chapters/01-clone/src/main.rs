//! The program of chapter 1: `01-clone -- sh` and `01-clone join PID -- sh`.

use std::ffi::OsString;
use std::process::ExitCode;

use ch01_clone::options::{self, NamespaceArgs, WatchArgs};
use ch01_clone::{Namespaces, Plan, Program, Signals, Waiting, join, set_hostname};
use clap::{Parser, Subcommand};
use nix::unistd::Pid;

/// Run a program with its own view of the machine
#[derive(Parser)]
#[command(name = "01-clone", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    namespaces: NamespaceArgs,
    #[command(flatten)]
    watch: WatchArgs,
    /// The program and its arguments
    #[arg(last = true, default_value = "sh")]
    command: Vec<OsString>,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a program in the namespaces of a process that runs already
    Join {
        /// That process
        pid: i32,
        #[command(flatten)]
        watch: WatchArgs,
        /// The program and its arguments
        #[arg(last = true, default_value = "sh")]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let cli: Cli = match options::parse() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    options::run("01-clone", || match cli.verb {
        Some(Verb::Join { pid, watch, command }) => enter(pid, watch, command),
        None => start(cli),
    })
}

fn start(cli: Cli) -> anyhow::Result<u8> {
    narrate(cli.watch);
    let program = program(cli.command)?;
    let hostname = cli.namespaces.hostname_or("01-clone");
    let plan = Plan {
        namespaces: cli.namespaces.namespaces(),
        ids: cli.namespaces.ids(),
        ..Plan::default()
    };
    cli.namespaces.offset_clocks()?;
    let signals = Signals::catch()?;
    // ANCHOR: body
    let child = plan.spawn(|gate| {
        hostname.as_deref().map_or(Ok(()), set_hostname)?;
        program.find()?.exec(gate)
    })?;
    // ANCHOR_END: body
    follow(child, signals)
}

fn enter(pid: i32, watch: WatchArgs, command: Vec<OsString>) -> anyhow::Result<u8> {
    narrate(watch);
    let program = program(command)?;
    let signals = Signals::catch()?;
    let all = Namespaces::of(ch01_clone::Namespace::ALL);
    let child = join(Pid::from_raw(pid), all, |gate| program.find()?.exec(gate))?;
    follow(child, signals)
}

fn narrate(watch: WatchArgs) {
    ch01_clone::narrate::Narration::from(watch).begin(None);
}

fn program(command: Vec<OsString>) -> anyhow::Result<Program> {
    let mut program = Program::new(command, options::environment("01-clone"))?;
    program.dies_with_parent = true;
    Ok(program)
}

fn follow(child: Waiting, signals: Signals) -> anyhow::Result<u8> {
    let (child, _) = child.start()?;
    Ok(child.wait_forwarding(signals)?.code())
}
