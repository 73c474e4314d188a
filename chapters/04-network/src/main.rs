//! The program of chapter 4: `04-network --publish 8080:80 --memory 64m ROOTFS -- httpd -f`.

mod alone;

use std::ffi::OsString;
use std::fs::File;
use std::net::Ipv6Addr;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;

use ch01_clone::narrate::Narration;
use ch01_clone::options::{self, NamespaceArgs, WatchArgs};
use ch01_clone::{Context, ExitStatus, Plan, Program, Signals, Waiting, set_hostname};
use ch02_chroot::options::RootfsArgs;
use ch03_cgroups::options::LimitOptions;
use ch03_cgroups::{Cgroup, Hierarchy, Limits, scope};
use ch04_network::ports::{self, Publish};
use ch04_network::{Ask, DEFAULT, Networks, choice};
use clap::{Parser, ValueEnum};

/// Run a program with its own view, its own root, its share of the machine and a wire
#[derive(Parser)]
#[command(name = "04-network", version)]
struct Cli {
    /// Which wire: to the default network's bridge, or none at all
    #[arg(long, value_enum, default_value_t, conflicts_with = "no_net")]
    network: Wire,
    /// Let others in by a port of the host: `[[ADDRESS:]HOST:]PORT[/udp]`
    #[arg(short = 'p', long = "publish", value_name = "PORT", conflicts_with = "no_net")]
    publish: Vec<String>,
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

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Wire {
    #[default]
    Bridge,
    None,
}

fn main() -> ExitCode {
    let cli: Cli = match options::parse() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    options::run("04-network", || {
        let limits = cli.limits.limits()?;
        cli.namespaces.own_mounts()?;
        let hierarchy = Hierarchy::probe()?;
        if limits != Limits::default()
            && !hierarchy.delegated()
            && let Some(mut again) = scope::delegated_scope()
        {
            return Err(again.exec().into());
        }
        if !cli.namespaces.no_net && !nix::unistd::geteuid().is_root() {
            return Ok(alone::again()?.code());
        }
        Narration::from(cli.watch.clone()).begin(None);
        if limits == Limits::default() && !hierarchy.delegated() {
            return Ok(wired(cli, None, Signals::catch()?)?.code());
        }
        // One that was killed has left its cgroup, which is empty.
        hierarchy.sweep("dockster-04", |name| !alone::lives(name));
        let cgroup = hierarchy.cgroup("dockster-04", &alone::name())?;
        let signals = Signals::catch()?;
        cgroup.create(&limits)?;
        let status = wired(cli, Some(&cgroup), signals);
        cgroup.kill().and_then(|()| cgroup.remove_and_prune())?;
        Ok(status?.code())
    })
}

/// Runs the container, and gives its wire back however it ends.
fn wired(cli: Cli, cgroup: Option<&Cgroup>, signals: Signals) -> anyhow::Result<ExitStatus> {
    if cli.namespaces.no_net {
        return start(cli, cgroup, signals, |_| Ok(()));
    }
    let (wire, published) = (cli.network, published(&cli)?);
    let site = alone::site()?;
    let status = start(cli, cgroup, signals, |child| {
        let path = format!("/proc/{}/ns/net", child.pid());
        let netns = File::open(&path).call(|| format!("open({path})"))?;
        let mut networks = site.lock()?;
        networks.sweep(alone::lives)?;
        for note in networks.notes() {
            eprintln!("04-network: {note}");
        }
        let asks = match wire {
            Wire::Bridge => vec![on_the_bridge(&networks, &published)?],
            Wire::None => Vec::new(),
        };
        networks.attach(netns.as_fd(), &asks)?;
        Ok(())
    });
    let detached = alone::leave(&site, &alone::name());
    let status = status?;
    detached?;
    Ok(status)
}

fn published(cli: &Cli) -> anyhow::Result<Vec<Publish>> {
    if cli.network == Wire::None && !cli.publish.is_empty() {
        anyhow::bail!("--publish: without a wire nobody gets in");
    }
    let mut published = Vec::new();
    for text in &cli.publish {
        published.extend(ports::publish(text)?);
    }
    // No rule leads away from it, and rules are all that there is here.
    if published.iter().any(|port| port.address == Some(Ipv6Addr::LOCALHOST.into())) {
        anyhow::bail!("--publish: ::1 needs a program that passes on: dockster has one");
    }
    Ok(published)
}

/// What this run's container wants; a port of the host that was left open is chosen now.
fn on_the_bridge(networks: &Networks, published: &[Publish]) -> anyhow::Result<Ask> {
    let mut taken = Vec::new();
    for network in networks.list() {
        taken.extend(networks.leases(network)?.iter().flat_map(|lease| lease.ports.clone()));
    }
    let ports = choice::choose(published, &taken)?;
    for (port, asked) in ports.iter().zip(published) {
        if asked.host.is_none() {
            eprintln!("04-network: port {} of the host leads to {}", port.host, port.container);
        }
    }
    let (network, name) = (DEFAULT.to_owned(), alone::name());
    Ok(Ask { network, container: name.clone(), name, ports, ..Ask::default() })
}

/// `wire` is called while the child waits at its gate.
fn start(
    cli: Cli,
    cgroup: Option<&Cgroup>,
    signals: Signals,
    wire: impl FnOnce(&Waiting) -> anyhow::Result<()>,
) -> anyhow::Result<ExitStatus> {
    let mut program = Program::new(cli.command, options::environment("04-network"))?;
    program.dies_with_parent = true;
    let rootfs = cli.rootfs.rootfs(cli.directory, &cli.namespaces)?;
    let hostname = cli.namespaces.hostname_or("04-network");
    let directory = cgroup.map(Cgroup::dir).transpose()?.flatten();
    let plan = Plan {
        namespaces: cli.namespaces.namespaces(),
        ids: cli.namespaces.ids(),
        cgroup: directory.as_ref().map(AsFd::as_fd),
    };
    let child = plan.spawn(|gate| {
        hostname.as_deref().map_or(Ok(()), set_hostname)?;
        rootfs.enter()?;
        program.find()?.exec(gate)
    })?;
    cgroup.map_or(Ok(()), |cgroup| cgroup.add_cloned(child.pid()))?;
    wire(&child)?;
    let (child, _) = child.start()?;
    Ok(child.wait_forwarding(signals)?)
}
