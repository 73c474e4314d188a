//! What becomes of a child: waiting for it, signalling it, and how it ended.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::error::{Context, Error, Result};
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
            if ready[0].any() == Some(true) {
                return self.wait();
            }
            signals.forward(&self, true)?;
        }
    }

    /// It closed its gate and had not said `Exec`: how did it end?
    pub(crate) fn died_early(mut self) -> Error {
        match self.reap() {
            Ok(status) => Error::new(format!("the child died before execve: {status}")),
            Err(errno) => Error::os("waitid(P_PIDFD)", errno),
        }
    }

    fn reap(&mut self) -> nix::Result<ExitStatus> {
        loop {
            match waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED) {
                Ok(WaitStatus::Exited(_, code)) => {
                    self.reaped = true;
                    return Ok(ExitStatus::Exited(code));
                }
                Ok(WaitStatus::Signaled(_, signal, _)) => {
                    self.reaped = true;
                    return Ok(ExitStatus::Signaled(signal as i32));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
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
        match self {
            ExitStatus::Exited(status) => status as u8,
            ExitStatus::Signaled(signal) => 128 + signal as u8,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ExitStatus::Exited(status) => write!(f, "exit status {status}"),
            ExitStatus::Signaled(number) => match Signal::try_from(number) {
                Ok(signal) => write!(f, "killed by {signal}"),
                Err(_) => write!(f, "killed by signal {number}"),
            },
        }
    }
}

/// The signals that are meant for the child, caught before they end us.
///
/// Made before the clone, so that none is lost; the child unblocks all at its execve.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    interrupts: u32,
}

/// One that came in.
#[derive(Debug, Clone, Copy)]
pub struct Received(siginfo);

impl Received {
    /// Its number.
    pub fn number(&self) -> i32 {
        self.0.ssi_signo as i32
    }

    /// Whether the terminal's driver sent it, to the whole foreground group.
    pub fn from_terminal(&self) -> bool {
        self.0.ssi_code == libc::SI_KERNEL
    }

    /// Whether somebody wants us to end.
    pub fn ends_us(&self) -> bool {
        [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM].contains(&self.number())
    }
}

impl Signals {
    /// Blocks the signals that a user or a service manager sends, and makes them readable.
    pub fn catch() -> Result<Self> {
        use Signal::{
            SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH,
        };
        let set: SigSet =
            [SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH]
                .into_iter()
                .collect();
        set.thread_block().call(|| "sigprocmask(SIG_BLOCK)")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let fd = SignalFd::with_flags(&set, flags).call(|| "signalfd")?;
        Ok(Self { fd, interrupts: 0 })
    }

    /// The next signal that came in, if one did.
    pub fn receive(&mut self) -> Result<Option<Received>> {
        let signal = self.fd.read_signal().call(|| "read(signalfd)")?;
        Ok(signal.map(Received))
    }

    /// Passes on what has come in. A child that shares our terminal has what
    /// the terminal's driver sent already. Says whether the window was resized.
    pub fn forward(&mut self, child: &Child, shares_terminal: bool) -> Result<bool> {
        let mut resized = false;
        while let Some(signal) = self.receive()? {
            if !(shares_terminal && signal.from_terminal()) {
                child.signal(signal.number())?;
            }
            resized |= signal.number() == libc::SIGWINCH;
            // A process that is PID 1 and has no handler does not even notice
            // Ctrl-C. Whoever presses it three times means it.
            self.interrupts += u32::from(signal.number() == libc::SIGINT);
            if self.interrupts >= 3 {
                child.signal(libc::SIGKILL)?;
            }
        }
        Ok(resized)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
