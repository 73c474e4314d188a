//! The program of chapter 3: `03-cgroups --memory 64m --pids 32 ROOTFS -- sh`.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ch01_clone::narrate::Narration;
use ch01_clone::options::{self, NamespaceArgs, WatchArgs};
use ch01_clone::{ExitStatus, Plan, Program, Signals, set_hostname};
use ch02_chroot::options::RootfsArgs;
use ch03_cgroups::options::LimitOptions;
use ch03_cgroups::{Cgroup, Hierarchy, Limits, scope};
use clap::Parser;

/// Run a program with its own view, its own root and its share of the machine
#[derive(Parser)]
#[command(name = "03-cgroups", version)]
struct Cli {
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

fn main() -> ExitCode {
    let cli: Cli = match options::parse() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    options::run("03-cgroups", || {
        let limits = cli.limits.limits()?;
        cli.namespaces.own_mounts()?;
        let hierarchy = Hierarchy::probe()?;
        if limits == Limits::default() && !hierarchy.delegated() {
            Narration::from(cli.watch.clone()).begin(None);
            return Ok(start(cli, None, Signals::catch()?)?.code());
        }
        if !hierarchy.delegated()
            && let Some(mut again) = scope::delegated_scope()
        {
            return Err(again.exec().into());
        }
        Narration::from(cli.watch.clone()).begin(None);
        // One that was killed has left its cgroup, which is empty.
        hierarchy.sweep("dockster-03", |name| {
            let maker = name.strip_prefix("03-cgroups-");
            maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
        });
        let cgroup =
            hierarchy.cgroup("dockster-03", &format!("03-cgroups-{}", std::process::id()))?;
        // ANCHOR: life
        // Before anything is made: Ctrl-C shall not keep us from removing it.
        let signals = Signals::catch()?;
        cgroup.create(&limits)?;
        let status = start(cli, Some(&cgroup), signals);
        report(&cgroup, &limits);
        // Whoever it has left behind in there ends with it.
        cgroup.kill().and_then(|()| cgroup.remove_and_prune())?;
        Ok(status?.code())
        // ANCHOR_END: life
    })
}

// ANCHOR: start
fn start(cli: Cli, cgroup: Option<&Cgroup>, signals: Signals) -> anyhow::Result<ExitStatus> {
    let mut program = Program::new(cli.command, options::environment("03-cgroups"))?;
    program.dies_with_parent = true;
    let rootfs = cli.rootfs.rootfs(cli.directory, &cli.namespaces)?;
    let hostname = cli.namespaces.hostname_or("03-cgroups");
    let directory = cgroup.map(Cgroup::dir).transpose()?.flatten();
    let plan = Plan {
        namespaces: cli.namespaces.namespaces(),
        ids: cli.namespaces.ids(),
        cgroup: directory.as_ref().map(AsFd::as_fd),
    };
    cli.namespaces.offset_clocks()?;
    let child = plan.spawn(|gate| {
        hostname.as_deref().map_or(Ok(()), set_hostname)?;
        rootfs.enter()?;
        program.find()?.exec(gate)
    })?;
    cgroup.map_or(Ok(()), |cgroup| cgroup.add_cloned(child.pid()))?;
    let (child, _) = child.start()?;
    Ok(child.wait_forwarding(signals)?)
}
// ANCHOR_END: start

/// Says what the limits did, when they did something.
fn report(cgroup: &Cgroup, limits: &Limits) {
    let Ok(events) = cgroup.events() else { return };
    // ANCHOR: report
    if let (1.., Some(bytes)) = (events.oom_kills, limits.memory) {
        eprintln!("03-cgroups: {} killed by the memory limit of {bytes} bytes", events.oom_kills);
    }
    // ANCHOR_END: report
    if let (1.., Some(pids)) = (events.pids_max, limits.pids) {
        eprintln!("03-cgroups: {} times no new process: the limit is {pids}", events.pids_max);
    }
}
