//! One process, and no later one that got its pid.
//!
//! What is written down about a process outlives it, and the kernel gives pids
//! again: a pid alone may be anybody's tomorrow.

use std::fs;

use serde::{Deserialize, Serialize};

/// One process and no later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incarnation {
    /// Its pid.
    pub pid: i32,
    /// When it started, in clock ticks since boot: field 22 of /proc/PID/stat.
    pub started: u64,
}

impl Incarnation {
    /// The process that has this pid now.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is a name in parentheses and may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let dead = fields.next()? == "Z";
        let started = fields.nth(18)?.parse().ok()?;
        (!dead).then_some(Self { pid, started })
    }

    /// Whether it still runs.
    pub fn alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}
