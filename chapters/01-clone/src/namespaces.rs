//! The eight kinds of namespace, and sets of them.

use std::fmt;

use nix::libc;

use crate::error::Result;
use crate::step;

/// One kind of namespace: a part of the machine of which a process can have a view of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// Whose ids, and whose capabilities (user_namespaces(7)).
    User,
    /// Which file systems are mounted where (mount_namespaces(7)).
    Mount,
    /// Which processes exist, and their numbers (pid_namespaces(7)).
    Pid,
    /// The hostname (uts_namespaces(7)).
    Uts,
    /// System V shared memory, semaphores and queues, POSIX queues (ipc_namespaces(7)).
    Ipc,
    /// Links, addresses, routes, ports (network_namespaces(7)).
    Net,
    /// Which cgroup looks like the root (cgroup_namespaces(7)).
    Cgroup,
    /// Offsets of the monotonic and the boot-time clock (time_namespaces(7)).
    Time,
}

use Namespace::{Cgroup, Ipc, Mount, Net, Pid, Time, User, Uts};

impl Namespace {
    /// All eight; the user namespace first, because the others belong to it.
    pub const ALL: [Namespace; 8] = [User, Mount, Pid, Uts, Ipc, Net, Cgroup, Time];

    /// The flag of clone(2), unshare(2) and setns(2).
    pub fn flag(self) -> u64 {
        // ANCHOR: flag
        let flag = match self {
            User => libc::CLONE_NEWUSER,
            Mount => libc::CLONE_NEWNS,
            Pid => libc::CLONE_NEWPID,
            Uts => libc::CLONE_NEWUTS,
            Ipc => libc::CLONE_NEWIPC,
            Net => libc::CLONE_NEWNET,
            Cgroup => libc::CLONE_NEWCGROUP,
            Time => libc::CLONE_NEWTIME,
        };
        flag as u64
        // ANCHOR_END: flag
    }

    /// Its name under /proc/PID/ns.
    pub fn file(self) -> &'static str {
        match self {
            User => "user",
            Mount => "mnt",
            Pid => "pid",
            Uts => "uts",
            Ipc => "ipc",
            Net => "net",
            Cgroup => "cgroup",
            Time => "time",
        }
    }

    /// Which namespace of this kind `process` ("self", or a pid) is in: its inode number.
    pub fn of(self, process: impl fmt::Display) -> std::io::Result<u64> {
        use std::os::unix::fs::MetadataExt;
        Ok(std::fs::metadata(format!("/proc/{process}/ns/{}", self.file()))?.ino())
    }
}

/// A set of kinds, kept as the kernel's flags.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Namespaces(u64);

impl Namespaces {
    /// No namespace at all: a plain fork.
    pub const NONE: Namespaces = Namespaces(0);

    /// These kinds.
    pub fn of(kinds: impl IntoIterator<Item = Namespace>) -> Self {
        kinds.into_iter().fold(Self::NONE, Self::with)
    }

    /// The set and this kind.
    #[must_use]
    pub fn with(self, kind: Namespace) -> Self {
        Self(self.0 | kind.flag())
    }

    /// The set without this kind.
    #[must_use]
    pub fn without(self, kind: Namespace) -> Self {
        Self(self.0 & !kind.flag())
    }

    /// Whether this kind is in the set.
    pub fn has(self, kind: Namespace) -> bool {
        self.0 & kind.flag() != 0
    }

    /// The kinds in the set, in the order of [`Namespace::ALL`].
    pub fn kinds(self) -> impl Iterator<Item = Namespace> {
        Namespace::ALL.into_iter().filter(move |&kind| self.has(kind))
    }

    /// The kernel's flags.
    pub fn flags(self) -> u64 {
        self.0
    }
}

// ANCHOR: set_hostname
/// In the child: the hostname of its UTS namespace.
pub fn set_hostname(name: &str) -> Result<()> {
    step!(
        "hostname",
        "The UTS namespace holds little else than this name.",
        "nsenter --preserve-credentials -t PID -U -u hostname",
        "sethostname({name:?})",
        nix::unistd::sethostname(name),
    )
}
// ANCHOR_END: set_hostname
