//! The only unsafe lines of this chapter: one call that neither nix nor rustix has.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;

/// What mount_setattr(2) changes: `MOUNT_ATTR_*` to set and to clear, a
/// propagation (`MS_SHARED`, ...; 0 leaves it), and the user namespace whose
/// maps the owners of files go through.
#[derive(Default, Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    pub(crate) propagation: u64,
    pub(crate) users: Option<BorrowedFd<'a>>,
}

/// mount_setattr(2) on the mount behind a descriptor, and with `recursive` on all below it.
pub(crate) fn mount_setattr(mount: BorrowedFd<'_>, set: u64, recursive: bool) -> nix::Result<()> {
    change(mount, Change { set, ..Change::default() }, recursive)
}

/// The same with all that it can change.
pub(crate) fn change(mount: BorrowedFd<'_>, what: Change<'_>, recursive: bool) -> nix::Result<()> {
    // SAFETY: all fields of `mount_attr` are integers; 0 means "leave as it is".
    let mut attr: libc::mount_attr = unsafe { std::mem::zeroed() };
    (attr.attr_set, attr.attr_clr, attr.propagation) = (what.set, what.clear, what.propagation);
    if let Some(users) = what.users {
        attr.attr_set |= libc::MOUNT_ATTR_IDMAP;
        attr.userns_fd = users.as_raw_fd() as u64;
    }
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let (fd, size) = (mount.as_raw_fd(), std::mem::size_of_val(&attr));
    // SAFETY: the empty path ends in a zero byte, and `attr` outlives the call.
    let done = unsafe {
        libc::syscall(libc::SYS_mount_setattr, fd, c"".as_ptr(), flags, &raw const attr, size)
    };
    Errno::result(done).map(drop)
}
