//! Who may read from the terminal: its foreground process group (tty_ioctl(4)).
//!
//! Our own group lies outside of the lab's PID namespace, where it has no number: a shell
//! in there could neither ask for the group that it finds nor go back to it at its end.
//! So the program gets a group of its own, and we take the terminal back when it is over.

use std::io::{IsTerminal, stdin};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{Pid, getpgrp, setpgid, tcgetpgrp, tcsetpgrp};

/// Whether our standard input is a terminal that is ours to read from.
pub(super) fn is_ours() -> bool {
    stdin().is_terminal() && tcgetpgrp(stdin()) == Ok(getpgrp())
}

/// In the program to be: a group of its own, in the foreground.
pub(super) fn take() -> nix::Result<()> {
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    set(getpgrp())
}

/// Our group is in the foreground again. If the terminal is gone there is nothing to take.
pub(super) fn take_back() {
    let _ = set(getpgrp());
}

/// Who does this from the background gets SIGTTOU, unless it is blocked.
fn set(group: Pid) -> nix::Result<()> {
    let background: SigSet = std::iter::once(Signal::SIGTTOU).collect();
    let before = background.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let done = tcsetpgrp(stdin(), group);
    before.thread_set_mask()?;
    match done {
        Err(Errno::ENOTTY) => Ok(()),
        done => done,
    }
}
