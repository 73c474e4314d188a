//! The only unsafe lines of this chapter: bpf(2).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

// <linux/bpf.h>: commands, kinds of programs, places to attach them, flags.
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 1 << 1;
const REPLACE: u32 = 1 << 2;

/// The first fields of `union bpf_attr` for each command; the kernel takes the rest as 0.
#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    first: u64,
    license: u64,
}

#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    place: u32,
    flags: u32,
    replaced: u32,
}

#[repr(C)]
struct Query {
    target: u32,
    place: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

/// # Safety
///
/// `attr` is laid out as `union bpf_attr` wants it for this command, and what it
/// points to is valid for what the command reads and writes.
unsafe fn bpf<T>(command: libc::c_int, attr: &mut T) -> nix::Result<libc::c_int> {
    // SAFETY: `attr` is as long as we say; the rest is the caller's promise.
    let done =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    Errno::result(done).map(|value| value as libc::c_int)
}

/// Has the kernel check a program that decides about devices, and gives it.
pub(crate) fn load(program: &[u64]) -> nix::Result<OwnedFd> {
    let license = c"GPL";
    let mut attr = Load {
        kind: PROG_TYPE_CGROUP_DEVICE,
        instructions: program.len() as u32,
        first: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
    };
    // SAFETY: the kernel copies the instructions and the license, and writes nothing.
    let fd = unsafe { bpf(PROG_LOAD, &mut attr) }?;
    // SAFETY: the descriptor is new, and nobody else's. (It is close-on-exec.)
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches it to a cgroup beside those that are there, or in place of one of them.
pub(crate) fn attach(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> nix::Result<()> {
    let mut attr = Attach {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        place: CGROUP_DEVICE,
        flags: if replaced.is_some() { ALLOW_MULTI | REPLACE } else { ALLOW_MULTI },
        replaced: replaced.map_or(0, |fd| fd.as_raw_fd() as u32),
    };
    // SAFETY: descriptors and numbers, no pointers.
    unsafe { bpf(PROG_ATTACH, &mut attr) }.map(drop)
}

/// Takes it off a cgroup.
pub(crate) fn detach(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> nix::Result<()> {
    let mut attr = Attach {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        place: CGROUP_DEVICE,
        flags: 0,
        replaced: 0,
    };
    // SAFETY: descriptors and numbers, no pointers.
    unsafe { bpf(PROG_DETACH, &mut attr) }.map(drop)
}

/// The programs about devices that are attached to a cgroup.
pub(crate) fn attached(cgroup: BorrowedFd<'_>) -> nix::Result<Vec<OwnedFd>> {
    // No more than 64 can be attached to one cgroup.
    let mut ids = [0u32; 64];
    let mut attr = Query {
        target: cgroup.as_raw_fd() as u32,
        place: CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: ids.len() as u32,
        padding: 0,
    };
    // SAFETY: the kernel writes at most `count` numbers to `ids`.
    unsafe { bpf(PROG_QUERY, &mut attr) }?;
    let ids = &ids[..(attr.count as usize).min(ids.len())];
    ids.iter().map(|id| program(*id)).collect()
}

fn program(id: u32) -> nix::Result<OwnedFd> {
    // The id, where to begin, flags.
    let mut attr = [id, 0, 0];
    // SAFETY: numbers, no pointers.
    let fd = unsafe { bpf(PROG_GET_FD_BY_ID, &mut attr) }?;
    // SAFETY: the descriptor is new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
