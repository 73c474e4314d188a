//! Catalogue: not needed to understand the chapter.
//!
//! A container must not get at the program that starts it. Its own program may be a
//! script whose interpreter is `/proc/self/exe`: for a moment that is the runtime, and
//! whoever keeps it open can write to it once it has ended (CVE-2019-5736).
//!
//! So the runtime starts itself again from a copy that nobody can write to: a read-only
//! mount of the one file, attached nowhere; or where mounts are not allowed, a sealed
//! file in memory.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use ch01_clone::{Context, Error, Result};
use ch02_chroot::Attributes;
use ch02_chroot::mount::{copy_handle, set_attributes};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::fexecve;
use rustix::fs::{MemfdFlags, memfd_create};

/// How often a copy is tried to be sealed.
const SEALINGS: usize = 20;

/// Goes on in a program that no container can change; returns if this is one already.
pub fn protect() -> Result<()> {
    let own = own()?;
    match is_safe(&own) {
        true => Ok(()),
        false => restart(safe_copy(own)?).map(|never| match never {}),
    }
}

/// This program, as a file that no container can change: to start it once more.
pub fn program() -> Result<OwnedFd> {
    let own = own()?;
    if is_safe(&own) { Ok(own) } else { safe_copy(own) }
}

fn own() -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    open("/proc/self/exe", flags, Mode::empty()).call(|| "open(/proc/self/exe)")
}

fn is_safe(program: &OwnedFd) -> bool {
    let read_only = fstatvfs(program).is_ok_and(|about| about.flags().contains(FsFlags::ST_RDONLY));
    let seals = fcntl(program, FcntlArg::F_GET_SEALS).unwrap_or(0);
    read_only || SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_WRITE)
}

fn safe_copy(program: OwnedFd) -> Result<OwnedFd> {
    let read_only = Attributes::default().read_only();
    let mount = copy_handle(&program)
        .and_then(|copy| set_attributes(copy.as_fd(), read_only).map(|()| copy));
    // An ordinary user may not mount.
    mount.or_else(|_| sealed(program))
}

fn sealed(program: OwnedFd) -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = memfd_create("program", flags).map_err(io::Error::from).call(|| "memfd_create")?;
    io::copy(&mut File::from(program), &mut File::from(memory.try_clone().call(|| "dup")?))
        .call(|| "write(memfd)")?;
    seal(&memory).call(|| "fcntl(F_ADD_SEALS)")?;
    Ok(memory)
}

/// The kernel looks whether somebody still holds a page of it, waits a sixth of a second at
/// most, and gives up. Where hundreds do this at once a page is held for longer, though by
/// nobody who could write to it: by the kernel's own lists.
fn seal(memory: &OwnedFd) -> nix::Result<()> {
    let seals = SealFlag::F_SEAL_SEAL
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE;
    let add = || fcntl(memory, FcntlArg::F_ADD_SEALS(seals)).map(drop);
    for _ in 1..SEALINGS {
        match add() {
            Err(Errno::EBUSY) => {}
            done => return done,
        }
    }
    add()
}

fn restart(program: OwnedFd) -> Result<Infallible> {
    let text = |bytes: Vec<u8>| CString::new(bytes).map_err(|e| Error::new(e.to_string()));
    let args = std::env::args_os().map(|arg| text(arg.into_vec())).collect::<Result<Vec<_>>>()?;
    let variable = |(mut name, value): (std::ffi::OsString, std::ffi::OsString)| {
        name.push("=");
        name.push(value);
        text(name.into_vec())
    };
    let env = std::env::vars_os().map(variable).collect::<Result<Vec<_>>>()?;
    fexecve(&program, &args, &env).call(|| "execveat(the program's copy)")
}
