//! The only unsafe lines of this chapter: one call that neither nix nor rustix has.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;

/// mount_setattr(2) on the mount behind a descriptor, and with `recursive` on all below it.
pub(crate) fn mount_setattr(mount: BorrowedFd<'_>, set: u64, recursive: bool) -> nix::Result<()> {
    // SAFETY: all fields of `mount_attr` are integers; 0 means "leave as it is".
    let mut attr: libc::mount_attr = unsafe { std::mem::zeroed() };
    attr.attr_set = set;
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let (fd, size) = (mount.as_raw_fd(), std::mem::size_of_val(&attr));
    // SAFETY: the empty path ends in a zero byte, and `attr` outlives the call.
    let done = unsafe {
        libc::syscall(libc::SYS_mount_setattr, fd, c"".as_ptr(), flags, &raw const attr, size)
    };
    Errno::result(done).map(drop)
}
