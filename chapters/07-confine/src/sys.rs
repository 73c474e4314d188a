//! The only unsafe lines of this chapter.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use libc::{
    SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_SET_MODE_FILTER, SYS_seccomp, c_uint, sock_filter,
    sock_fprog, syscall,
};
use nix::errno::Errno;

/// From now on each system call of this thread, and of all that it starts, is
/// judged by `program` (seccomp(2)). There is no way back.
///
/// With SECCOMP_FILTER_FLAG_NEW_LISTENER it gives the descriptor by which a supervisor hears
/// of calls.
///
/// EACCES: neither no_new_privs nor CAP_SYS_ADMIN. EINVAL: not a valid program. EBUSY: there
/// is a supervisor already.
pub(crate) fn seccomp(program: &[sock_filter], flags: u32) -> nix::Result<Option<OwnedFd>> {
    let len = program.len().try_into().map_err(|_| Errno::EINVAL)?;
    // The kernel only reads it, but the type has no word for that.
    let program = sock_fprog { len, filter: program.as_ptr().cast_mut() };
    let operation = SECCOMP_SET_MODE_FILTER as c_uint;
    // SAFETY: the kernel copies `len` instructions from `filter`, which lives as
    // long as the call.
    let done = unsafe { syscall(SYS_seccomp, operation, flags, &raw const program) };
    let fd = Errno::result(done)? as RawFd;
    let listens = flags & SECCOMP_FILTER_FLAG_NEW_LISTENER as u32 != 0;
    // SAFETY: with this flag it is a descriptor fresh from the kernel, which nobody else owns.
    Ok(listens.then(|| unsafe { OwnedFd::from_raw_fd(fd) }))
}
