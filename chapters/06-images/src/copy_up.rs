//! Catalogue: not needed to understand the chapter.
//!
//! Bringing into a layer what is in one below it: as it is there, with all that belongs to it.

pub mod stubs;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use ch02_chroot::Root;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags};
use nix::sys::stat::{fchmodat, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, LinkatFlags, Uid, fchownat, linkat, symlinkat};
use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr};

use crate::space::{self, Limits, Space};
use crate::stack::{Found, Stack};
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

/// How deep directories may lie in each other.
const DEPTH: u32 = 1000;

/// Fills `to` with what the directory `path` of the whole tree holds, and makes it like that
/// one; `false` if there is no such directory.
pub fn tree(stack: &Stack, path: &Path, to: &Path) -> Result<bool> {
    let (real, found) = match stack.follow(path) {
        Err(error) if error.errno == Some(Errno::ENOTDIR) => return Ok(false),
        followed => followed?,
    };
    let Some(found) = found.filter(|at| whiteout::kind(&at.stat) == SFlag::S_IFDIR) else {
        return Ok(false);
    };
    let root = Root::open(to)?;
    let space = Space::at(&root, Limits::default())?;
    let mut copier = Copier { stack, root: &root, space, links: HashMap::new() };
    copier.below(&real, Path::new(""), DEPTH).map_err(space::explain)?;
    attributes(&found, &root, OsStr::new("."))?;
    Ok(true)
}

struct Copier<'a> {
    stack: &'a Stack,
    root: &'a Root,
    space: Space,
    /// Where a file of several names was met first, by its layer and inode.
    links: HashMap<(usize, u64), PathBuf>,
}

impl Copier<'_> {
    fn below(&mut self, from: &Path, to: &Path, depth: u32) -> Result<()> {
        if depth == 0 {
            return Err(Error::os(format!("readdir({from:?})"), Errno::ELOOP));
        }
        let dir = self.root.lookup(to, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let mut directories = Vec::new();
        // A hundred layers have as many descriptors of it: they go before what lies deeper.
        let walk = self.stack.walk(from)?;
        for name in walk.names()? {
            let Some(found) = walk.find(&name)? else { continue };
            self.space.take_entry()?;
            match whiteout::kind(&found.stat) {
                SFlag::S_IFDIR => directories.push(name),
                _ => self.one(&found, &dir, to.join(&name))?,
            }
        }
        drop(walk);
        for name in directories {
            let (from, to) = (from.join(&name), to.join(&name));
            mkdirat(&dir, &*name, Mode::S_IRWXU).call(|| format!("mkdirat({to:?})"))?;
            self.below(&from, &to, depth - 1)?;
            if let Some(found) = self.stack.find(&from)? {
                attributes(&found, &dir, &name)?;
            }
        }
        Ok(())
    }

    fn one(&mut self, found: &Found, dir: &OwnedFd, to: PathBuf) -> Result<()> {
        let name = &*found.name;
        let same = (found.layer, found.stat.st_ino);
        if let Some(first) = self.links.get(&same) {
            return linkat(self.root, first, dir, name, LinkatFlags::empty())
                .call(|| format!("linkat({to:?})"));
        }
        if found.stat.st_nlink > 1 {
            self.links.insert(same, to);
        }
        self.space.take(found.stat.st_size as u64)?;
        file(found, dir, name)
    }
}
