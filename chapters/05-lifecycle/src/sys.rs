//! The only unsafe lines of this chapter.

use std::os::fd::{AsRawFd, BorrowedFd};

use ch01_clone::{Context, ExitStatus, Result};
use nix::errno::Errno;
use nix::sys::signal::SigSet;

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

/// set_mempolicy(2) of this process; the mask has 64 nodes a word.
pub(crate) fn set_mempolicy(mode: i32, nodes: &[u64]) -> nix::Result<()> {
    let (mask, bits) = match nodes.len() {
        0 => (std::ptr::null(), 0),
        // The kernel counts from 1.
        words => (nodes.as_ptr(), words * 64 + 1),
    };
    // SAFETY: the kernel reads `bits - 1` bits of a slice that outlives the call. All our
    // machines have 64 bits a word.
    Errno::result(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
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

/// Blocks every signal that can be blocked.
pub(crate) fn block_all_signals() -> Result<()> {
    SigSet::all().thread_block().call(|| "sigprocmask(SIG_BLOCK)")
}

/// fork(2): the pid of the child, or `None` in it. Only in a process without other threads.
pub(crate) fn fork() -> nix::Result<Option<i32>> {
    // SAFETY: we are the child of a clone and have one thread, so that no lock is held in the copy.
    let pid = Errno::result(unsafe { libc::fork() })?;
    Ok((pid != 0).then_some(pid))
}

/// A process group of one's own; in the foreground if there is a terminal, so that its
/// Ctrl-C is for this group alone.
pub(crate) fn lead_the_terminal() {
    // SAFETY: integers. Without a terminal it is ENOTTY; with one, SIGTTOU is blocked.
    unsafe {
        libc::setpgid(0, 0);
        libc::tcsetpgrp(0, libc::getpid());
    }
}

/// Closes every descriptor from this one on. What owned them must not be used again.
pub(crate) fn close_from(first: u32) {
    // SAFETY: the caller never returns, so nobody uses or closes one of them later.
    unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
}

/// Waits for a signal, by number; all are blocked.
pub(crate) fn next_signal() -> i32 {
    // SAFETY: `sigset_t` is integers, filled by sigfillset; no siginfo is asked for.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        loop {
            let signal = libc::sigwaitinfo(&raw const all, std::ptr::null_mut());
            if signal > 0 {
                return signal;
            }
        }
    }
}

/// kill(2), by number. One that has ended meanwhile needs no signal.
pub(crate) fn kill(pid: i32, signal: i32) {
    // SAFETY: two integers.
    unsafe { libc::kill(pid, signal) };
}

/// waitpid(2) without waiting: a child that has ended, if there is one.
pub(crate) fn ended_child() -> Option<(i32, ExitStatus)> {
    let mut status = 0;
    // SAFETY: the status is an integer of ours.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    let how = match libc::WIFSIGNALED(status) {
        true => ExitStatus::Signaled(libc::WTERMSIG(status)),
        false => ExitStatus::Exited(libc::WEXITSTATUS(status)),
    };
    (pid > 0).then_some((pid, how))
}

/// Leaves at once, without running anything that the parent has registered.
pub(crate) fn exit_now(status: u8) -> ! {
    // SAFETY: ends the process; nothing of it is used afterwards.
    unsafe { libc::_exit(status.into()) }
}

/// Gives up all capabilities but the one to signal processes of any user.
pub(crate) fn keep_only_kill() {
    const VERSION_3: u32 = 0x2008_0522;
    const KILL: u32 = 1 << 5;
    let header = [VERSION_3, 0];
    // Two halves of effective, permitted and inheritable.
    let mut sets = [0_u32; 6];
    // SAFETY: a header and two structs of three integers, as capset(2) lays them out.
    unsafe {
        libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr());
        let permitted = sets[1] & KILL;
        let sets = [permitted, permitted, 0, 0, 0, 0];
        libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr());
    }
}

/// Where the arguments and the environment of this program lie in its memory.
pub(crate) struct Words([std::ops::Range<usize>; 2]);

impl Words {
    /// Fields 48 to 51 of /proc/self/stat.
    pub(crate) fn find() -> Result<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").call(|| "read(/proc/self/stat)")?;
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        let at: Vec<usize> = fields.skip(45).take(4).filter_map(|f| f.parse().ok()).collect();
        match at[..] {
            [a, b, c, d] => Ok(Self([a..b, c..d])),
            _ => Err(ch01_clone::Error::new("/proc/self/stat has too few fields")),
        }
    }

    /// Makes them zeros: in a container nobody shall read what the runtime was started with.
    pub(crate) fn wipe(self) {
        let [args, env] = self.0;
        for range in [args, env] {
            // SAFETY: the kernel laid these strings out on the writable stack, said where,
            // and nobody reads an argument or a variable from here on.
            unsafe { std::ptr::write_bytes(range.start as *mut u8, 0, range.len()) };
        }
    }
}
