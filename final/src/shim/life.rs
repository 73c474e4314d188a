//! A program that runs: its first process, and our ends of its streams.

use std::os::fd::{AsFd, OwnedFd};

use ch01_clone::wait::ended;
use ch01_clone::{Child, Context, ExitStatus, Result};
use ch05_lifecycle::launch::{Started, Streams};
use nix::errno::Errno;
use nix::unistd::Pid;

/// The first process of a container, whose parent we are: nobody else gets its pid
/// before we have waited for it.
#[derive(Debug)]
pub struct Init {
    /// Its pid.
    pub pid: Pid,
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
}

impl Init {
    /// The same process, which is not killed any more when this value goes.
    pub fn keep(child: Child) -> Result<Self> {
        let pid = child.pid();
        let pidfd = child.pidfd().try_clone_to_owned().call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
        child.leave();
        Ok(Self { pid, pidfd })
    }

    pub(super) fn signal(&self, number: i32) -> nix::Result<()> {
        // By number: the real-time ones have no names.
        match crate::sys::signal(self.pid, number) {
            Err(Errno::ESRCH) => Ok(()),
            done => done,
        }
    }

    pub(super) fn reap(&self) -> Result<ExitStatus> {
        ended(self.pidfd.as_fd()).call(|| "waitid(P_PIDFD)")
    }
}

/// A program that runs, and our ends of its streams.
#[derive(Debug)]
pub struct Life {
    /// Its first process.
    pub init: Init,
    /// Its standard input: a pipe, or its terminal.
    pub input: Option<OwnedFd>,
    /// Its output: a pipe, or its terminal.
    pub output: Option<OwnedFd>,
    /// Its errors: a pipe; a terminal has only output.
    pub errors: Option<OwnedFd>,
    /// Whether these are a terminal.
    pub terminal: bool,
}

impl Life {
    /// Of what chapter 5 has started.
    pub fn of(started: Started) -> Result<Self> {
        let Started { child, streams } = started;
        let life =
            |init, input, output, errors, terminal| Self { init, input, output, errors, terminal };
        match streams {
            Streams::Terminal(master) => {
                let input = master.try_clone().call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
                Ok(life(Init::keep(child)?, Some(input), Some(master), None, true))
            }
            Streams::Pipes { stdin, stdout, stderr } => {
                Ok(life(Init::keep(child)?, stdin, Some(stdout), Some(stderr), false))
            }
            Streams::Inherited => Ok(life(Init::keep(child)?, None, None, None, false)),
        }
    }
}
