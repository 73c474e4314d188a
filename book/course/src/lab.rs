//! The lab: a sandbox in which an experiment may go wrong.
//!
//! ```text
//!   x                  outside: makes the lab, passes on signals, looks at the clock
//!   └── x --inside     PID 1 of the lab: reaps, and ends when the program ends
//!       └── program    a shell, or what is tried
//! ```
//!
//! When `x` dies, the kernel kills PID 1, and with PID 1 everything in its PID
//! namespace. So nothing in a lab outlives it, whatever happens. What may be left is an
//! empty cgroup and a scratch directory, and `cargo x clean` takes these away.

mod ceiling;
mod init;
mod inside;
mod loopback;
mod scratch;
mod terminal;
mod watch;

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use ch01_clone::{IdMaps, Namespace, Namespaces, Plan, Result, Signals};
use nix::unistd::geteuid;

pub use ceiling::{Ceiling, PARENT};
pub use init::init;
pub use scratch::{PREFIX, Scratch, remove_all};

/// Tells us that we run in a scope of our own; a program inside shall ask anew.
const SCOPE_MARK: &str = "DOCKSTER_SCOPE";

/// What runs in the lab, and for how long.
#[derive(Debug, Clone)]
pub struct Lab {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Its environment, `NAME=value`.
    pub environment: Vec<OsString>,
    /// Its working directory.
    pub directory: PathBuf,
    /// Descriptors, beside 0, 1 and 2, that it gets from our caller.
    pub keep: Vec<RawFd>,
    /// When it is killed.
    pub limit: Duration,
    /// Whether to be silent about what this machine cannot provide.
    pub quiet: bool,
}

impl Lab {
    /// Runs it under this ceiling; the program's exit status, or 124 at the time limit.
    pub fn run(&self, ceiling: &Ceiling) -> Result<u8> {
        let terminal = terminal::is_ours();
        let status = self.run_below(ceiling);
        if terminal {
            terminal::take_back();
        }
        // Also after a failure; and what failed first is what is said.
        let removed = ceiling.remove();
        status.and_then(|status| removed.map(|()| status))
    }

    fn run_below(&self, ceiling: &Ceiling) -> Result<u8> {
        // Before the clone: a signal shall neither be lost nor end us.
        let signals = Signals::catch()?.without_insisting();
        let directory = ceiling.directory()?;
        let plan = Plan {
            namespaces: namespaces(ceiling),
            ids: (!geteuid().is_root()).then(IdMaps::best),
            cgroup: directory.as_ref().map(AsFd::as_fd),
        };
        let child = plan.spawn(|gate| inside::become_init(self, ceiling, &plan, gate))?;
        ceiling.add(child.pid())?;
        let (child, _) = child.start()?;
        watch::follow(child, signals, self.limit)
    }
}

/// Root has no user namespace around the lab: it is root's own experiments, such as
/// those without one, that a lab is for.
fn namespaces(ceiling: &Ceiling) -> Namespaces {
    use Namespace::{Cgroup, Ipc, Mount, Net, Pid, User, Uts};
    let mut kinds = Namespaces::of([Mount, Pid, Net, Uts, Ipc]);
    if !geteuid().is_root() {
        kinds = kinds.with(User);
    }
    if ceiling.is_cgroup() {
        kinds = kinds.with(Cgroup);
    }
    kinds
}

/// The environment of a program in a lab: our own, with these variables (`NAME=value`),
/// the lab's own /run, and without what is only for us.
pub fn environment(more: &[OsString]) -> Vec<OsString> {
    let more = [more, &["XDG_RUNTIME_DIR=/run".into()]].concat();
    let replaced = |name: &OsStr| {
        let start = [name.as_bytes(), b"="].concat();
        name == SCOPE_MARK || more.iter().any(|new| new.as_bytes().starts_with(&start))
    };
    let own = std::env::vars_os().filter(|(name, _)| !replaced(name)).map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name
    });
    own.chain(more.iter().cloned()).collect()
}
