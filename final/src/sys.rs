//! The only unsafe lines of this crate.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;

/// Takes over a descriptor that the program which we were before has kept open for us.
pub fn inherited(fd: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: F_GETFD only asks whether the number is a descriptor.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_GETFD) })?;
    // SAFETY: it is open (asked above), and the caller, the start of the shim, takes
    // each number that it was given once, before anything else opens a descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Marks every descriptor from 3 on close-on-exec, whoever has left them to us.
pub fn close_on_exec_from_3() -> nix::Result<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: it only sets flags; nobody's descriptor is closed before the execve.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, flags) };
    Errno::result(done).map(drop)
}

/// kill(2), by number: the real-time signals have no names.
pub fn signal(pid: nix::unistd::Pid, number: i32) -> nix::Result<()> {
    // SAFETY: two integers.
    Errno::result(unsafe { libc::kill(pid.as_raw(), number) }).map(drop)
}
