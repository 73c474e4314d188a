//! Bringing into a layer what is in one below it: as it is there, with all that belongs to it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat, symlinkat};
use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr};

use crate::stack::Found;
use crate::whiteout;

/// A file, a link, a device; not a directory.
pub(crate) fn file(from: &Found, to: impl AsFd, name: &OsStr) -> Result<()> {
    let to = to.as_fd();
    let kind = whiteout::kind(&from.stat);
    match kind {
        SFlag::S_IFDIR => return Err(Error::os(format!("linkat({name:?})"), Errno::EPERM)),
        SFlag::S_IFLNK => {
            let target = readlinkat(&from.dir, &*from.name).call(|| "readlinkat")?;
            symlinkat(&*target, to, name).call(|| format!("symlinkat({name:?})"))?;
        }
        SFlag::S_IFREG => {
            let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let old = openat(&from.dir, &*from.name, flags | OFlag::O_RDONLY, Mode::empty());
            let new = flags | OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
            let new = openat(to, name, new, Mode::S_IRUSR | Mode::S_IWUSR);
            let (old, new) = (old.call(|| "openat")?, new.call(|| format!("openat({name:?})"))?);
            std::io::copy(&mut File::from(old), &mut File::from(new))
                .call(|| format!("copy_file_range({name:?})"))?;
        }
        _ => mknodat(to, name, kind, Mode::S_IRUSR, from.stat.st_rdev)
            .call(|| format!("mknodat({name:?})"))?,
    }
    attributes(from, to, name)
}

/// Owner, mode, attributes and times, in this order: a change of owner takes set-uid bits
/// and capabilities away.
pub(crate) fn attributes(from: &Found, to: impl AsFd, name: &OsStr) -> Result<()> {
    let (to, stat) = (to.as_fd(), &from.stat);
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fchownat(to, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
        .call(|| format!("fchownat({name:?})"))?;
    if whiteout::kind(stat) != SFlag::S_IFLNK {
        let mode = Mode::from_bits_truncate(stat.st_mode & 0o7777);
        fchmodat(to, name, mode, FchmodatFlags::NoFollowSymlink)
            .call(|| format!("fchmodat({name:?})"))?;
    }
    extended(&path(from.dir.as_fd(), &from.name), &path(to, name))?;
    let accessed = TimeSpec::new(stat.st_atime, stat.st_atime_nsec);
    let modified = TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec);
    utimensat(to, name, &accessed, &modified, UtimensatFlags::NoFollowSymlink)
        .call(|| format!("utimensat({name:?})"))
}

/// There are no calls for attributes with a descriptor and a name; this comes to the same.
fn path(dir: BorrowedFd<'_>, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name)
}

fn extended(from: &Path, to: &Path) -> Result<()> {
    let io = |errno: rustix::io::Errno| std::io::Error::from(errno);
    let mut list = vec![0; 64 << 10];
    let length = match llistxattr(from, &mut list[..]) {
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
        length => length.map_err(io).call(|| "llistxattr")?,
    };
    for key in list[..length].split(|&byte| byte == 0).filter(|key| !key.is_empty()) {
        let key = std::os::unix::ffi::OsStrExt::from_bytes(key);
        if whiteout::is_private_attribute(key) {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        let length = lgetxattr(from, key, &mut value[..]).map_err(io);
        let length = length.call(|| format!("lgetxattr({key:?})"))?;
        match lsetxattr(to, key, &value[..length], XattrFlags::empty()) {
            // The host's security module may have its own mind.
            Ok(()) | Err(rustix::io::Errno::PERM | rustix::io::Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(io(errno)).call(|| format!("lsetxattr({key:?})")),
        }
    }
    Ok(())
}
