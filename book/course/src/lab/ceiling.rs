//! How much of the machine a lab may take.
//!
//! A cgroup of its own where there is a place for one: it holds for all processes
//! together. Elsewhere limits of each process (setrlimit(2)), which are weaker.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;

use ch01_clone::{Context, Error, Result};
use ch03_cgroups::{Cgroup, Hierarchy, Limits, scope};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Pid, geteuid};

/// Processes and threads.
const PIDS: u64 = 256;

/// Bytes.
const MEMORY: u64 = 512 << 20;

/// The share of the processors that everybody has.
const EVEN_SHARE: u64 = 1024;

/// The cgroup in which labs have theirs, each named after the pid of its `x`.
pub const PARENT: &str = "dockster-lab";

/// What limits a lab.
#[derive(Debug)]
pub enum Ceiling {
    /// A cgroup; it goes with this.
    Cgroup(Cgroup),
    /// Limits of each process, since there is no cgroup to be had: why.
    Each(String),
}

impl Ceiling {
    /// The best that is to be had here. Where a service manager can delegate a cgroup,
    /// this program is started again, in it.
    pub fn find() -> Result<Self> {
        let hierarchy = match Hierarchy::probe() {
            Ok(hierarchy) => hierarchy,
            Err(error) => return Ok(Self::Each(error.call)),
        };
        if !hierarchy.delegated()
            && let Some(mut again) = scope::delegated_scope()
        {
            return Err(again.exec()).call(|| "execve(systemd-run)");
        }
        let place = hierarchy.cgroup(PARENT, &std::process::id().to_string());
        let tried = place.and_then(|cgroup| match hierarchy.delegated() {
            true => create(cgroup),
            false => Err(Error::new("others are in the cgroup that is ours")),
        });
        Ok(match tried {
            Ok(cgroup) => Self::Cgroup(cgroup),
            Err(error) => Self::Each(error.call),
        })
    }

    pub(super) fn is_cgroup(&self) -> bool {
        matches!(self, Self::Cgroup(_))
    }

    /// For the reader: what holds here.
    pub fn sentence(&self) -> String {
        let mib = MEMORY >> 20;
        match self {
            Self::Cgroup(_) => format!("{PIDS} processes and {mib} MiB of memory, together"),
            Self::Each(_) if geteuid().is_root() => {
                format!("{mib} MiB a process; no limit of processes: root's are not counted")
            }
            Self::Each(_) => format!("{PIDS} processes, {mib} MiB each"),
        }
    }

    /// The directory to be born into.
    pub(super) fn directory(&self) -> Result<Option<OwnedFd>> {
        match self {
            Self::Cgroup(cgroup) => cgroup.dir(),
            Self::Each(_) => Ok(None),
        }
    }

    /// What is left to do for a child that was born there.
    pub(super) fn add(&self, child: Pid) -> Result<()> {
        match self {
            Self::Cgroup(cgroup) => cgroup.add_cloned(child),
            Self::Each(_) => Ok(()),
        }
    }

    /// In the lab: the limits that a process sets for itself and its children.
    pub(super) fn lower(&self) -> Result<()> {
        match self {
            Self::Cgroup(_) => Ok(()),
            Self::Each(_) => {
                lower(Resource::RLIMIT_NPROC, PIDS)?;
                // What programs allocate. RLIMIT_AS would also count what they only
                // reserve, and some reserve terabytes.
                lower(Resource::RLIMIT_DATA, MEMORY)
            }
        }
    }

    /// Kills what is left in it, and removes it.
    pub(super) fn remove(&self) -> Result<()> {
        match self {
            Self::Cgroup(cgroup) => cgroup.kill().and_then(|()| cgroup.remove_and_prune()),
            Self::Each(_) => Ok(()),
        }
    }
}

/// Better known now than in the lab whether it can be. The processor is for who wants to
/// share it in there; it is not always delegated.
fn create(cgroup: Cgroup) -> Result<Cgroup> {
    let whole = Limits { cpu_shares: Some(EVEN_SHARE), ..limits() };
    cgroup.create(&whole).or_else(|_| cgroup.create(&limits()))?;
    Ok(cgroup)
}

fn limits() -> Limits {
    Limits { memory: Some(MEMORY as i64), pids: Some(PIDS as i64), ..Limits::default() }
}

impl Drop for Ceiling {
    fn drop(&mut self) {
        // It is gone already, but for an error on the way; that one was told.
        let _ = self.remove();
    }
}

/// Never raises: who has less already keeps it.
fn lower(resource: Resource, to: u64) -> Result<()> {
    let (_, hard) = getrlimit(resource).call(|| format!("getrlimit({resource:?})"))?;
    let to = to.min(hard);
    setrlimit(resource, to, to)
        .call(|| format!("setrlimit({resource:?}, {to})"))
        .map_err(|error: Error| error.hint("`ulimit -a` shows what is set already"))
}
