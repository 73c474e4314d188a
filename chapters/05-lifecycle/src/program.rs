//! Catalogue: not needed to understand the chapter.
//!
//! `05-lifecycle run ROOTFS -- sh`: the options of chapters 1 to 3, written as an OCI
//! configuration. From there on it is a container like any other.

mod config;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;

use ch01_clone::narrate::Narration;
use ch01_clone::options::{self, NamespaceArgs, WatchArgs};
use ch01_clone::{Error, Signals};
use ch02_chroot::options::RootfsArgs;
use ch03_cgroups::options::LimitOptions;
use ch03_cgroups::{Hierarchy, Limits, scope};
use ch05_lifecycle::protect::protect;
use ch05_lifecycle::{Container, CreateOptions, Runtime, Stdio, cli, credentials, pty, relay};
use clap::{Args, Parser, Subcommand};

use crate::NAME;

#[derive(Parser)]
#[command(name = NAME, version)]
struct Cli {
    /// Where containers are kept
    #[arg(long, value_name = "DIR", global = true)]
    root: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a program in a container, wait for its end, and delete the container
    #[command(
        after_help = "With an ID and without -- it is the verb of an OCI runtime: 05-lifecycle help run"
    )]
    Run(Box<Run>),
}

#[derive(Args)]
struct Run {
    /// What it is called, in `list`, `exec` and the other verbs [default: run-PID]
    #[arg(long, value_name = "ID")]
    name: Option<String>,
    /// Give it a terminal of its own
    #[arg(short = 't', long)]
    tty: bool,
    /// With --tty: what is typed here is for it (without --tty it has our input anyway)
    #[arg(short = 'i', long)]
    interactive: bool,
    /// A parent for the program, which reaps and forwards signals
    #[arg(long)]
    init: bool,
    #[command(flatten)]
    namespaces: NamespaceArgs,
    #[command(flatten)]
    rootfs: RootfsArgs,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    watch: WatchArgs,
    /// The directory that becomes /
    #[arg(value_name = "ROOTFS")]
    directory: PathBuf,
    /// The program and its arguments
    #[arg(last = true, default_value = "sh")]
    command: Vec<OsString>,
}

/// Parses the command line and runs the container; the exit status is its program's.
pub fn main() -> ExitCode {
    let Cli { root, verb: Verb::Run(run) } = match options::parse() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    options::run(NAME, || {
        // Both may start this program again, so before anything else; the second one from
        // a copy that has no path, so in this order.
        let limits = run.limits.limits()?;
        in_a_scope(&limits)?;
        protect()?;
        Narration::from(run.watch.clone()).begin(None);
        let root = root.map_or_else(|| cli::default_root(NAME), Ok)?;
        let root = std::path::absolute(&root)?;
        let credentials = credentials::prepare;
        live(&Runtime { root, credentials, systemd: false, warn: say }, *run, &limits)
    })
}

/// Limits take a cgroup. Whoever has none may be given one by systemd.
fn in_a_scope(limits: &Limits) -> anyhow::Result<()> {
    if *limits == Limits::default() || Hierarchy::probe()?.delegated() {
        return Ok(());
    }
    match scope::delegated_scope() {
        Some(mut again) => Err(again.exec().into()),
        // `create` says what is missing.
        None => Ok(()),
    }
}

fn say(warning: &Error) {
    eprintln!("{NAME}: {warning}");
}

/// The whole life of a container that we wait for.
fn live(runtime: &Runtime, run: Run, limits: &Limits) -> anyhow::Result<u8> {
    let id = run.name.clone().unwrap_or_else(|| format!("run-{}", std::process::id()));
    let (interactive, stdio) = (run.interactive || !run.tty, stdio(run.tty));
    let options = CreateOptions { init: run.init, ..CreateOptions::default() };
    let bundle = config::bundle(run, limits)?;
    // Before there is a child: no signal is lost.
    let signals = Signals::catch()?;
    let (container, started) = runtime.run(&id, &bundle, stdio, &options)?;
    let ended = relay(started, signals, interactive);
    report(&container, limits);
    container.delete(true)?;
    Ok(ended?.code())
}

/// A terminal of its own is as large as ours.
fn stdio(tty: bool) -> Stdio {
    let (rows, columns) = pty::size();
    if tty { Stdio::Terminal { rows, columns } } else { Stdio::Inherit }
}

/// Says what the limits did, when they did something.
fn report(container: &Container<'_>, limits: &Limits) {
    let Ok(Some(Ok(events))) = container.cgroup().map(|cgroup| cgroup.map(|own| own.events()))
    else {
        return;
    };
    if let (1.., Some(bytes)) = (events.oom_kills, limits.memory) {
        eprintln!("{NAME}: {} killed by the memory limit of {bytes} bytes", events.oom_kills);
    }
    if let (1.., Some(pids)) = (events.pids_max, limits.pids) {
        eprintln!("{NAME}: {} times no new process: the limit is {pids}", events.pids_max);
    }
}
