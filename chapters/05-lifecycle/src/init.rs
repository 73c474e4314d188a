//! PID 1 for a program that does not know how to be one (`--init`).
//!
//! The first process of a PID namespace has duties. Whoever loses its parent in there
//! becomes its child, and stays a *zombie* until it is waited for; and a signal that
//! it has no handler for does not reach it at all. A shell or a database was not
//! written for that. So a small process stays PID 1, and the program is its child:
//!
//! ```text
//!   runtime ── PID 1: init ─┬─ PID 2: the program, in a process group of its own
//!                           └─ whoever has lost its parent
//! ```
//!
//! When the program ends, PID 1 ends with its status; whoever is left ends with PID 1.
//!
//! It splits off before the credentials change, so that no filter of the program's
//! is one of ours. From then on it neither allocates nor opens anything: it waits for signals.

use ch01_clone::{ExitStatus, Result, step};
use nix::sys::prctl;

use crate::sys;

/// What is found out before the clone: where the words lie with which the runtime was started.
pub(crate) struct Init {
    words: sys::Words,
}

impl Init {
    pub(crate) fn prepare() -> Result<Self> {
        Ok(Self { words: sys::Words::find()? })
    }

    /// Returns in a child of ours, which becomes the program; we become its PID 1.
    pub(crate) fn split(self) -> Result<()> {
        // None is lost: a blocked signal waits, even for PID 1.
        sys::block_all_signals()?;
        let program = step!(
            "init",
            "This process stays PID 1, to wait for whoever has lost its parent and to \
             pass signals on. The program becomes its child.",
            "ps -o pid,ppid,stat,comm --ppid PID",
            "fork()",
            sys::fork(),
        )?;
        match program {
            None => {
                sys::lead_the_terminal();
                Ok(())
            }
            Some(program) => {
                // The gate as well: else nobody would see it close at the execve.
                sys::close_from(3);
                self.words.wipe();
                // For `ps` only.
                let _ = prctl::set_name(c"init");
                sys::keep_only_kill();
                live(program)
            }
        }
    }
}

/// The life of PID 1.
fn live(program: i32) -> ! {
    loop {
        let signal = sys::next_signal();
        if signal != libc::SIGCHLD {
            sys::kill(program, signal);
        } else if let Some(status) = reap(program) {
            sys::exit_now(status.code());
        }
    }
}

/// Waits for all that have ended: one SIGCHLD may stand for many. Gives the status of
/// the program if that was among them.
fn reap(program: i32) -> Option<ExitStatus> {
    let mut ended = None;
    while let Some((pid, status)) = sys::ended_child() {
        if pid == program {
            ended = Some(status);
        }
    }
    ended
}
