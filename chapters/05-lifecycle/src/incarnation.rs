//! One process, and no later one that got its pid.
//!
//! What is written down about a process outlives it, and the kernel gives pids
//! again: a pid alone may be anybody's tomorrow.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use ch01_clone::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use serde::{Deserialize, Serialize};

use crate::sys;

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
        // HOLE: 05.1
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is a name in parentheses and may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let dead = fields.next()? == "Z";
        let started = fields.nth(18)?.parse().ok()?;
        (!dead).then_some(Self { pid, started })
        // HOLE_END: 05.1
    }

    /// Sends it a signal, by number. One that has ended is an error: nobody else gets it.
    pub fn signal(self, signal: i32) -> Result<()> {
        let call = || format!("pidfd_send_signal({}, {signal})", self.pid);
        let pidfd = self.pidfd().call(call)?;
        sys::pidfd_send_signal(pidfd.as_fd(), signal).call(call)
    }

    /// Ends it, and waits for that. One that has ended already is fine.
    pub fn kill(self) -> Result<()> {
        match self.signal(libc::SIGKILL) {
            Err(error) if error.errno != Some(Errno::ESRCH) => Err(error),
            _ => self.wait(None).map(drop),
        }
    }

    /// Waits until it has ended, at most this long; says whether it has.
    pub fn wait(self, patience: Option<Duration>) -> Result<bool> {
        let Ok(pidfd) = self.pidfd() else { return Ok(true) };
        let until = patience.map(|patience| Instant::now() + patience);
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            // Rounded up, so that it does not ask in circles for the last millisecond.
            let left = left.map(|left| i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX));
            let timeout = left.map_or(Ok(PollTimeout::NONE), PollTimeout::try_from);
            let timeout = timeout.unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) if until.is_none_or(|until| Instant::now() < until) => {}
                Err(Errno::EINTR) => {}
                done => return done.map(|ready| ready > 0).call(|| "poll"),
            }
        }
    }

    /// From here on a pid that is used again by somebody else cannot fool us.
    fn pidfd(self) -> std::io::Result<OwnedFd> {
        let pid = Pid::from_raw(self.pid).ok_or(Errno::ESRCH)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        match self.alive() {
            true => Ok(pidfd),
            false => Err(Errno::ESRCH.into()),
        }
    }

    /// Whether it still runs.
    pub fn alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}
