//! Catalogue: not needed to understand the chapter.
//!
//! Where this program keeps its networks, and how an ordinary user gets a host's side of their own.

use std::fs;
use std::path::{Path, PathBuf};

use ch01_clone::{
    Context, Error, ExitStatus, IdMaps, Namespace, Namespaces, Plan, Program, Result, Signals,
};
use ch04_network::Site;

/// Runs this program again as root of a user namespace that owns a network of its own: all that
/// this chapter does works in there, but no link leads out of it.
pub fn again() -> Result<ExitStatus> {
    base()?;
    eprintln!("04-network: not root, so the host's side is one of your own, with no way outside");
    let path = "/proc/self/exe";
    let own = fs::read_link(path).call(|| format!("readlink({path})"))?;
    let environment = std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name
    });
    let args = std::iter::once(own.into_os_string()).chain(std::env::args_os().skip(1));
    let mut program = Program::new(args, environment)?;
    program.dies_with_parent = true;
    let plan = Plan {
        namespaces: Namespaces::of([Namespace::User, Namespace::Net]),
        ids: Some(IdMaps::best()),
        cgroup: None,
    };
    let signals = Signals::catch()?;
    let (child, _) = plan.spawn(|gate| program.find()?.exec(gate))?.start()?;
    child.wait_forwarding(signals)
}

/// One directory for each host's side, that is, for each network namespace that this program is
/// started in; it is called as the namespace's inode number.
pub fn site() -> Result<Site> {
    let base = base()?;
    let own = Namespace::Net.of("self").call(|| "stat(/proc/self/ns/net)")?;
    let own = base.join(own.to_string());
    for entry in fs::read_dir(&base).into_iter().flatten().flatten() {
        if entry.path() != own {
            clean(entry.path())?;
        }
    }
    Ok(at(own))
}

/// The prefix is that of a Dockster with a root of its own.
fn at(dir: PathBuf) -> Site {
    Site { common: dir.join(".common"), dir, prefix: "dk04000000".to_owned() }
}

/// What was killed in another namespace may have left its directory.
fn clean(dir: PathBuf) -> Result<()> {
    let networks = at(dir.clone()).lock()?;
    for network in networks.list() {
        if networks.leases(network)?.iter().any(|lease| lives(&lease.container)) {
            return Ok(());
        }
    }
    fs::remove_dir_all(&dir).call(|| format!("unlink({dir:?})"))
}

fn base() -> Result<PathBuf> {
    let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    match own {
        Some(dir) => Ok(Path::new(&dir).join("dockster-04")),
        None if nix::unistd::geteuid().is_root() => Ok(PathBuf::from("/run/dockster-04")),
        None => Err(Error::new("XDG_RUNTIME_DIR is not set: no place to keep networks in")),
    }
}

const NAME: &str = "04-network-";

/// What this run's container is called: whoever finds it later can tell whether we live.
pub fn name() -> String {
    format!("{NAME}{}", std::process::id())
}

/// Whether the run that calls its container so still lives, and is not only waited for.
pub fn lives(container: &str) -> bool {
    let Some(pid) = container.strip_prefix(NAME) else { return false };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Gives back what the container had. The last one takes the directory with it.
pub fn leave(site: &Site, container: &str) -> Result<()> {
    let mut networks = site.lock()?;
    networks.detach(container)?;
    networks.forget()?;
    // Only if it is empty, and there is no harm if it is not.
    let _ = site.dir.parent().map(fs::remove_dir);
    Ok(())
}
