//! The only unsafe lines of this chapter.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

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

/// What sched_setattr(2) sets.
pub(crate) struct SchedAttributes {
    pub(crate) policy: u32,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
}

/// sched_setattr(2) of this process.
pub(crate) fn sched_setattr(attributes: &SchedAttributes) -> nix::Result<()> {
    // SAFETY: `sched_attr` is integers; zero is a value of each.
    let mut request: libc::sched_attr = unsafe { std::mem::zeroed() };
    request.size = std::mem::size_of_val(&request) as u32;
    request.sched_policy = attributes.policy;
    request.sched_flags = attributes.flags;
    request.sched_nice = attributes.nice;
    request.sched_priority = attributes.priority;
    request.sched_runtime = attributes.runtime;
    request.sched_deadline = attributes.deadline;
    request.sched_period = attributes.period;
    // SAFETY: the kernel reads `size` bytes of a struct that outlives the call.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const request, 0) };
    Errno::result(done).map(drop)
}

/// ioprio_set(2) of this process: a class in the upper bits and a level.
pub(crate) fn ioprio_set(value: i32) -> nix::Result<()> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    // SAFETY: three integers.
    let done = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) };
    Errno::result(done).map(drop)
}

/// personality(2).
pub(crate) fn personality(persona: i32) -> nix::Result<()> {
    // SAFETY: an integer.
    Errno::result(unsafe { libc::personality(persona as libc::c_ulong) }).map(drop)
}

/// keyctl(2): a session keyring of one's own, so that nobody finds the caller's keys.
pub(crate) fn join_session_keyring(name: &std::ffi::CStr) -> nix::Result<()> {
    // SAFETY: a command and a string that outlives the call.
    let done = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr())
    };
    Errno::result(done).map(drop)
}

/// Takes ownership of a descriptor that the kernel has just given us.
pub(crate) fn own(fd: std::os::fd::RawFd) -> std::os::fd::OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: the callers pass a number fresh from the kernel, which nobody else owns.
    unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) }
}

/// pidfd_send_signal(2), by number: real-time signals have no names.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> nix::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed: the kernel fills it in as kill(2) does.
    let done =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) };
    Errno::result(done).map(drop)
}
