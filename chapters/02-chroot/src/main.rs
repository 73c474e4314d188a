//! The program of chapter 2: `02-chroot ROOTFS -- sh`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use ch01_clone::narrate::Narration;
use ch01_clone::options::{self, NamespaceArgs, WatchArgs};
use ch01_clone::{Plan, Program, Signals, set_hostname};
use ch02_chroot::options::RootfsArgs;
use clap::Parser;

/// Run a program with its own view of the machine, and its own root
#[derive(Parser)]
#[command(name = "02-chroot", version)]
struct Cli {
    #[command(flatten)]
    namespaces: NamespaceArgs,
    #[command(flatten)]
    rootfs: RootfsArgs,
    #[command(flatten)]
    watch: WatchArgs,
    /// The directory that becomes /
    #[arg(value_name = "ROOTFS")]
    directory: PathBuf,
    /// The program and its arguments
    #[arg(last = true, default_value = "sh")]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    let cli: Cli = match options::parse() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    options::run("02-chroot", || start(cli))
}

fn start(cli: Cli) -> anyhow::Result<u8> {
    Narration::from(cli.watch).begin(None);
    let mut program = Program::new(cli.command, options::environment("02-chroot"))?;
    program.dies_with_parent = true;
    let rootfs = cli.rootfs.rootfs(cli.directory, &cli.namespaces)?;
    let hostname = cli.namespaces.hostname_or("02-chroot");
    let plan = Plan {
        namespaces: cli.namespaces.namespaces(),
        ids: cli.namespaces.ids(),
        ..Plan::default()
    };
    cli.namespaces.offset_clocks()?;
    let signals = Signals::catch()?;
    // ANCHOR: spawn
    let child = plan.spawn(|gate| {
        hostname.as_deref().map_or(Ok(()), set_hostname)?;
        rootfs.enter()?;
        program.find()?.exec(gate)
    })?;
    // ANCHOR_END: spawn
    let (child, _) = child.start()?;
    Ok(child.wait_forwarding(signals)?.code())
}
