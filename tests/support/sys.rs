//! The unsafe part of the tests: two ioctls of terminals, and what a child does
//! before it becomes a program.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::pty::Winsize;

/// Makes `command` the leader of a new session whose terminal is its stdin.
pub(crate) fn own_terminal(command: &mut Command) {
    let become_leader = || {
        nix::unistd::setsid()?;
        // SAFETY: TIOCSCTTY takes an int and touches no memory; 0 is our stdin.
        match unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec the closure makes two system calls; it takes no
    // lock and does not allocate.
    unsafe { command.pre_exec(become_leader) };
}

/// Sets the size of the terminal whose master `terminal` is.
pub(crate) fn set_size(terminal: &File, size: &Winsize) -> io::Result<()> {
    // SAFETY: TIOCSWINSZ reads one winsize, which `size` points to.
    match unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
