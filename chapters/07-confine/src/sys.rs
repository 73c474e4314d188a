//! The only unsafe lines of this chapter.

use libc::{SECCOMP_SET_MODE_FILTER, SYS_seccomp, c_uint, sock_filter, sock_fprog, syscall};
use nix::errno::Errno;

/// From now on each system call of this thread, and of all that it starts, is
/// judged by `program` (seccomp(2)). There is no way back.
///
/// EACCES: neither no_new_privs nor CAP_SYS_ADMIN. EINVAL: not a valid program.
pub(crate) fn seccomp(program: &[sock_filter], flags: u32) -> nix::Result<()> {
    let len = program.len().try_into().map_err(|_| Errno::EINVAL)?;
    // The kernel only reads it, but the type has no word for that.
    let program = sock_fprog { len, filter: program.as_ptr().cast_mut() };
    let operation = SECCOMP_SET_MODE_FILTER as c_uint;
    // SAFETY: the kernel copies `len` instructions from `filter`, which lives as
    // long as the call. No flag is set that would return a descriptor.
    let done = unsafe { syscall(SYS_seccomp, operation, flags, &raw const program) };
    Errno::result(done).map(drop)
}
