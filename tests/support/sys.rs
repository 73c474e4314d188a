//! The unsafe part of the tests: ioctls of terminals and of a supervisor of system calls,
//! and what a child does before it becomes a program.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::pty::Winsize;

use crate::supervisor::Answer;

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

/// Brings the loopback link of this network namespace up (netdevice(7)).
pub(crate) fn loopback_up(socket: BorrowedFd<'_>) -> nix::Result<()> {
    // SAFETY: `ifreq` is a name and a union of integers; zero is a value of each.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq`, which outlives the call.
    let done =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    Errno::result(done).map(drop)
}

/// The next call that a process waits with: its id here, and its number.
pub(crate) fn next_call(listener: &OwnedFd) -> nix::Result<(u64, i64)> {
    // SAFETY: integers; the kernel wants them all zero.
    let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    let fd = listener.as_raw_fd();
    // SAFETY: the ioctl writes one `seccomp_notif`, which `call` is.
    let done = unsafe { libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call) };
    Errno::result(done).map(|_| (call.id, call.data.nr.into()))
}

/// Lets the process go on.
pub(crate) fn answer_call(listener: &OwnedFd, id: u64, answer: Answer) -> nix::Result<()> {
    let (flags, error) = match answer {
        Answer::GoesOn => (libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32, 0),
        Answer::Fails(errno) => (0, -(errno as i32)),
    };
    let mut answer = libc::seccomp_notif_resp { id, val: 0, error, flags };
    let fd = listener.as_raw_fd();
    // SAFETY: the ioctl reads one `seccomp_notif_resp`, which `answer` is.
    let done = unsafe { libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) };
    match Errno::result(done) {
        // It was killed meanwhile.
        Ok(_) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}
