//! Catalogue: not needed to understand the chapter.
//!
//! Signals that come for us and are meant for the child.

use std::os::fd::{AsFd, BorrowedFd};

use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};

use crate::error::{Context, Result};
use crate::wait::Child;

/// The signals that are meant for the child, caught before they end us.
///
/// Made before the clone, so that none is lost; the child unblocks all at its execve.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    interrupts: u32,
    insist: bool,
}

/// One that came in.
#[derive(Debug, Clone, Copy)]
pub struct Received(siginfo);

impl Received {
    /// Its number.
    pub fn number(&self) -> i32 {
        self.0.ssi_signo as i32
    }

    /// Whether the terminal's driver sent it to the whole foreground group. (That
    /// the terminal is gone, SIGHUP, it tells the leader of the session alone.)
    pub fn from_terminal(&self) -> bool {
        self.0.ssi_code == libc::SI_KERNEL && self.number() != libc::SIGHUP
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
        Ok(Self { fd, interrupts: 0, insist: true })
    }

    /// Never sends more than what came in: the child is a runtime itself.
    #[must_use]
    pub fn without_insisting(self) -> Self {
        Self { insist: false, ..self }
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
            if self.insist && self.interrupts >= 3 {
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
