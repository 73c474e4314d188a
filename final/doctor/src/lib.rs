//! What on this machine stands in the way, and the cure.
//!
//! A list of checks, each a small function. Those in `trials` try the real
//! thing, in namespaces of their own; those in `facts` read what the kernel
//! says. What they read is turned into a verdict by functions that take text.
//!
//! A cure is a text, and where it is a command also a [`Change`]: what to run as root, and
//! how to take it back. [`changes`] asks, does it, and keeps the record.

#![forbid(unsafe_code)]

pub mod changes;
mod cure;
mod distribution;
mod facts;
pub mod report;
pub mod tools;
mod trials;

use std::io;
use std::path::{Path, PathBuf};

pub use cure::{Change, Cure};
pub use distribution::{Distribution, Family};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Ok,
    /// Something will not work, but a container will run.
    Warn,
    /// No container will run.
    Fail,
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub verdict: Verdict,
    /// What was seen.
    pub found: String,
    /// A command, or what to do; empty if nothing is to be done.
    pub cure: Cure,
}

impl Finding {
    /// All is well.
    pub fn ok(found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, found: found.into(), cure: Cure::default() }
    }

    /// Something will not work.
    pub fn warn(found: impl Into<String>, cure: impl Into<Cure>) -> Self {
        Self { verdict: Verdict::Warn, found: found.into(), cure: cure.into() }
    }

    /// No container will run.
    pub fn fail(found: impl Into<String>, cure: impl Into<Cure>) -> Self {
        Self { verdict: Verdict::Fail, found: found.into(), cure: cure.into() }
    }
}

/// Who is looked at: what the checks have in common.
#[derive(Debug, Clone)]
pub struct Patient {
    /// The directory of all state, which need not exist yet.
    pub root: PathBuf,
    /// Whether we are root here; if not, a user namespace makes us so.
    pub privileged: bool,
    /// Which Linux it is.
    pub distribution: Distribution,
}

impl Patient {
    /// This machine, with this directory for all state.
    pub fn here(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: std::path::absolute(root)?,
            privileged: nix::unistd::geteuid().is_root(),
            distribution: Distribution::of_this_machine(),
        })
    }
}

/// One look at the patient.
pub type Check = fn(&Patient) -> Finding;

/// All checks by name, in the order in which one cures.
pub const CHECKS: [(&str, Check); 15] = [
    ("kernel", facts::kernel),
    ("container around us", facts::container),
    ("kinds of namespaces", facts::namespaces),
    ("user namespace", trials::user_namespace),
    ("id ranges", facts::id_ranges),
    ("newuidmap, newgidmap", trials::id_mappers),
    ("a new root", trials::new_root),
    ("overlayfs", trials::overlay),
    ("disk space", facts::space),
    ("mount propagation", facts::propagation),
    ("cgroups", facts::cgroups),
    ("no internal processes", facts::internal_processes),
    ("controllers", facts::controllers),
    ("nf_tables", trials::nf_tables),
    ("name servers", facts::name_servers),
];
