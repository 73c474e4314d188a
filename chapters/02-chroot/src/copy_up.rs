//! Catalogue: not needed to understand the chapter.
//!
//! A tmpfs that begins with what it covers (the option `tmpcopyup`).

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ch01_clone::{Context, Error, Result};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat, mknodat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};

use crate::root::Root;

/// How deep directories may lie in each other.
const DEPTH: u32 = 64;

/// Copies the directory `target`, if there is one, into `tmpfs`.
pub(crate) fn copy(root: &Root, target: &Path, tmpfs: BorrowedFd<'_>) -> Result<()> {
    let directory = match root.lookup(target, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
        Err(error) if error.errno == Some(Errno::ENOENT) => return Ok(()),
        found => found?,
    };
    let here = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let tmpfs = openat(tmpfs, ".", here, Mode::empty()).call(|| "openat(tmpfs)")?;
    copy_directory(directory, &tmpfs, DEPTH).map_err(|error| Error {
        call: format!("tmpcopyup of {target:?}: {}", error.call),
        ..error
    })
}

fn copy_directory(from: OwnedFd, to: &OwnedFd, depth: u32) -> Result<()> {
    if depth == 0 {
        return Err(Error::os("readdir", Errno::ELOOP));
    }
    let stat = fstat(&from).call(|| "fstat")?;
    let mut entries = Dir::from_fd(from.try_clone().call(|| "dup")?).call(|| "fdopendir")?;
    for entry in entries.iter() {
        let entry = entry.call(|| "readdir")?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            let stat = fstatat(&from, name, AtFlags::AT_SYMLINK_NOFOLLOW)
                .call(|| format!("fstatat({name:?})"))?;
            copy_entry(&from, to, name, &stat, depth).call(|| format!("{name:?}"))?;
        }
    }
    give(to, c"", &stat)?;
    fchmod(to, mode(&stat)).call(|| "fchmod")
}

fn copy_entry(
    from: &OwnedFd,
    to: &OwnedFd,
    name: &std::ffi::CStr,
    stat: &FileStat,
    depth: u32,
) -> Result<()> {
    let open = |at: &OwnedFd, flags: OFlag| {
        openat(at, name, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, mode(stat))
            .call(|| format!("openat({name:?})"))
    };
    let kind = SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT);
    match kind {
        SFlag::S_IFDIR => {
            mkdirat(to, name, Mode::S_IRWXU).call(|| format!("mkdirat({name:?})"))?;
            let directory = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
            return copy_directory(open(from, directory)?, &open(to, directory)?, depth - 1);
        }
        SFlag::S_IFLNK => {
            let target = readlinkat(from, name).call(|| format!("readlinkat({name:?})"))?;
            symlinkat(&*target, to, name).call(|| format!("symlinkat({name:?})"))?;
        }
        SFlag::S_IFREG => {
            let mut file = File::from(open(from, OFlag::O_RDONLY)?);
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
            let mut copy = File::from(open(to, flags)?);
            std::io::copy(&mut file, &mut copy).call(|| format!("write({name:?})"))?;
            give(to, name, stat)?;
            // After the owner, whose change takes set-uid bits away.
            return fchmod(copy.as_fd(), mode(stat)).call(|| format!("fchmod({name:?})"));
        }
        _ => mknodat(to, name, kind, mode(stat), stat.st_rdev)
            .call(|| format!("mknodat({name:?})"))?,
    }
    give(to, name, stat)
}

fn give(at: &OwnedFd, name: &std::ffi::CStr, stat: &FileStat) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    let flags = AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_EMPTY_PATH;
    fchownat(at, name, Some(uid), Some(gid), flags).call(|| format!("fchownat({name:?})"))
}

fn mode(stat: &FileStat) -> Mode {
    Mode::from_bits_truncate(stat.st_mode & 0o7777)
}
