//! The only unsafe lines of this chapter: calls that neither nix nor rustix has,
//! or that need a promise which only the caller's situation can keep.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

use crate::error::{Error, Result};

/// libc 0.2 truncates this flag to 0: clone3(2) has 64 bits of them.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of the clone we are on.
pub(crate) enum Side {
    Parent { pid: Pid, pidfd: OwnedFd },
    Child,
}

/// clone3(2): a copy of this process, with a pidfd, in the new namespaces that
/// `flags` name, in the cgroup behind `cgroup`.
///
/// The copy has one thread only, the caller's. A lock that another thread held
/// would stay locked in it for ever, so a process with threads is refused.
pub(crate) fn clone3(flags: u64, cgroup: Option<BorrowedFd<'_>>, signal: i32) -> Result<Side> {
    // ANCHOR: threads
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    // A helper in a container's mounts is not in its /proc: there it counts none.
    if threads > 1 {
        return Err(Error::new(format!("clone3 from a process with {threads} threads"))
            .hint("a program that has threads starts another program for this"));
    }
    // ANCHOR_END: threads
    let mut pidfd: RawFd = -1;
    // SAFETY: all fields of `clone_args` are integers; 0 means "not used".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    // ANCHOR: clone3
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = signal as u64;
    // ANCHOR_END: clone3
    // ANCHOR: into_cgroup
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // ANCHOR_END: into_cgroup
    let size = std::mem::size_of_val(&args);
    // SAFETY: without CLONE_VM and with no stack given this returns twice, as
    // fork does, each time with memory of its own. There is one thread (counted
    // above), so nothing is locked or half done in the copy. `args` and the
    // pidfd it points to live until the call returns.
    // ANCHOR: returns
    match unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size) } {
        -1 => Err(Error::os("clone3", Errno::last())),
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent { pid: Pid::from_raw(pid as i32), pidfd: own(pidfd) }),
    }
    // ANCHOR_END: returns
}

/// Takes ownership of a descriptor that the kernel has just given us.
pub(crate) fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the callers pass a number fresh from the kernel, which nobody else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// pidfd_open(2): a descriptor that stands for this process and no later one.
pub(crate) fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: two integers in, a descriptor out.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    Errno::result(fd).map(|fd| own(fd as RawFd))
}

/// pidfd_send_signal(2).
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> nix::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed: the kernel fills it in as kill(2) does.
    let done =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) };
    Errno::result(done).map(drop)
}

/// Marks every descriptor from this one on close-on-exec, ours and those we were started with.
pub(crate) fn close_on_exec_from(first: u32) -> nix::Result<()> {
    // ANCHOR: close_range
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: it only sets flags; nobody's descriptor is closed before the execve.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) };
    // ANCHOR_END: close_range
    Errno::result(done).map(drop)
}

/// Gives every signal its default action and unblocks all: a program starts
/// with what execve(2) leaves, and Rust ignores SIGPIPE for itself.
pub(crate) fn default_signals() -> nix::Result<()> {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is no function of ours. SIGKILL, SIGSTOP and the two
        // that libc keeps for itself answer EINVAL, which changes nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    nix::sys::signal::SigSet::empty().thread_set_mask()
}

/// Leaves at once: the parent's destructors, of which the child has a copy, do not run.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: ends the process; nothing of it is used afterwards.
    unsafe { libc::_exit(status) }
}
