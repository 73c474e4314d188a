//! What becomes of a child: waiting for it, signalling it, and how it ended.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::error::{Context, Error, Result};
use crate::signals::Signals;
use crate::sys;

/// A child of ours, held by a pidfd: never another process that got its pid later.
///
/// Dropped before it was waited for, it is killed: an error on the way leaves nobody behind.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    reaped: bool,
}

impl Child {
    pub(crate) fn new(pid: Pid, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd, reaped: false }
    }

    /// Its pid, as this process sees it.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Readable once it has ended; for poll(2).
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Sends it a signal, by number: the real-time ones have no names.
    pub fn signal(&self, signal: i32) -> Result<()> {
        match sys::pidfd_send_signal(self.pidfd(), signal) {
            // It has ended already: whoever waits will see that.
            Err(Errno::ESRCH) => Ok(()),
            other => other.call(|| format!("pidfd_send_signal({}, {signal})", self.pid)),
        }
    }

    /// Waits until it has ended.
    pub fn wait(mut self) -> Result<ExitStatus> {
        self.reap().call(|| format!("waitid(P_PIDFD, {})", self.pid))
    }

    /// Waits until it has ended, passing on the signals that come for us meanwhile.
    pub fn wait_forwarding(self, mut signals: Signals) -> Result<ExitStatus> {
        loop {
            let mut ready = [
                PollFd::new(self.pidfd(), PollFlags::POLLIN),
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::os("poll", errno)),
            }
            // ANCHOR: wait_forwarding
            if ready[0].any() == Some(true) {
                return self.wait();
            }
            signals.forward(&self, true)?;
            // ANCHOR_END: wait_forwarding
        }
    }

    /// Lets it live on without us: it is not killed when this is dropped.
    pub fn leave(mut self) {
        self.reaped = true;
    }

    /// It closed its gate and had not said `Exec`: how did it end?
    pub(crate) fn died_early(mut self) -> Error {
        match self.reap() {
            Ok(status) => Error::new(format!("the child died before execve: {status}")),
            Err(errno) => Error::os("waitid(P_PIDFD)", errno),
        }
    }

    fn reap(&mut self) -> nix::Result<ExitStatus> {
        ended(self.pidfd.as_fd()).inspect(|_| self.reaped = true)
    }
}

/// Waits until the child behind this pidfd has ended, and reaps it (waitid(2)). Its signal
/// may be a real-time one, for which nix has no name.
pub fn ended(pidfd: BorrowedFd<'_>) -> nix::Result<ExitStatus> {
    loop {
        let how = match waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED) {
            Ok(Some(how)) => how,
            Ok(None) | Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(Errno::from_raw(errno.raw_os_error())),
        };
        if let Some(code) = how.exit_status() {
            return Ok(ExitStatus::Exited(code));
        }
        if let Some(signal) = how.terminating_signal() {
            return Ok(ExitStatus::Signaled(signal));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            // Nobody is left to tell if this fails; and then there is nothing to reap.
            let _ = self.signal(libc::SIGKILL).map(|()| self.reap());
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl ExitStatus {
    /// The one byte that a shell makes of it: the status, or 128 and the signal.
    pub fn code(self) -> u8 {
        // ANCHOR: code
        match self {
            ExitStatus::Exited(status) => status as u8,
            ExitStatus::Signaled(signal) => 128 + signal as u8,
        }
        // ANCHOR_END: code
    }
}
