//! Catalogue: not needed to understand the chapter.
//!
//! Removing a tree that somebody else made.
//!
//! It may be deeper than any path is long, or than a process may have files
//! open. So there is no recursion: what lies deeper is first moved up.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use ch01_clone::{Context, Error, Result};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, openat, renameat2};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Removes what `name` in `parent` is: a file or a link, or a directory with all it holds.
/// Nothing there is no error.
pub fn remove(parent: impl AsFd, name: &OsStr) -> Result<()> {
    let parent = parent.as_fd();
    match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(errno) => return Err(Error::os(format!("unlinkat({name:?})"), errno)),
    }
    let top = directory(parent, name)?;
    let mut moved = 0u64;
    // Each round empties the directories that lie right below, whose own
    // directories come to lie there instead.
    loop {
        let below = empty(&top, None)?;
        if below.is_empty() {
            break;
        }
        for child in below {
            let dir = directory(&top, &child)?;
            empty(&dir, Some((&top, &mut moved)))?;
            drop(dir);
            unlinkat(&top, &*child, UnlinkatFlags::RemoveDir)
                .call(|| format!("unlinkat({child:?}, AT_REMOVEDIR)"))?;
        }
    }
    unlinkat(parent, name, UnlinkatFlags::RemoveDir)
        .call(|| format!("unlinkat({name:?}, AT_REMOVEDIR)"))
}

/// Removes the files of a directory. Its directories are moved up, or returned.
fn empty(dir: &OwnedFd, up: Option<(&OwnedFd, &mut u64)>) -> Result<Vec<OsString>> {
    let mut directories = Vec::new();
    each_name(dir, |name| {
        match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(Errno::EISDIR | Errno::EPERM) => directories.push(name.to_owned()),
            Err(errno) => return Err(Error::os(format!("unlinkat({name:?})"), errno)),
        }
        Ok(())
    })?;
    let Some((top, moved)) = up else { return Ok(directories) };
    for name in directories {
        loop {
            *moved += 1;
            let new = format!(".removed-{moved}");
            match renameat2(dir, &*name, top, new.as_str(), RenameFlags::RENAME_NOREPLACE) {
                Ok(()) => break,
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(Error::os(format!("renameat2({name:?})"), errno)),
            }
        }
    }
    Ok(Vec::new())
}

fn directory(parent: impl AsFd, name: &OsStr) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty()).call(|| format!("openat({name:?}, O_NOFOLLOW)"))
}

/// Calls `visit` with each name in a directory, in no order.
pub(crate) fn each_name(dir: &OwnedFd, mut visit: impl FnMut(&OsStr) -> Result<()>) -> Result<()> {
    // A copy would share the position in it; this opens it again.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing = Dir::openat(dir, ".", flags, Mode::empty()).call(|| "openat(\".\")")?;
    for entry in listing.iter() {
        let entry = entry.call(|| "getdents64")?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            visit(OsStr::from_bytes(name))?;
        }
    }
    Ok(())
}
