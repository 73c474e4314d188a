//! Files between the host and a container: `dockster cp`.
//!
//! Either side is a [`Root`], and everything is reached by descriptors: a link that the
//! container puts in the way while we copy leads nowhere but into its own root
//! (CVE-2018-15664). Names come from reading directories, and links are copied as links.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use ch02_chroot::Root;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstatat, mkdirat,
    mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, symlinkat, unlinkat};

use super::Engine;
use super::record::Claim;

/// One side of a copy.
pub struct Side {
    root: Root,
    /// The path, as the user wrote it, from the root on.
    path: PathBuf,
    /// Whose files new ones become; `None`: whose they were.
    owner: Option<(Uid, Gid)>,
    /// What keeps the files where they are meanwhile.
    _held: Option<Claim>,
}

impl Side {
    /// On the host.
    pub fn host(path: &Path) -> Result<Self> {
        let root = Root::open("/".as_ref())?;
        // It keeps a slash at the end, and forgets the dot after one.
        let mut whole = std::path::absolute(path).call(|| format!("{path:?}"))?.into_os_string();
        if ends_in(path, "/.") {
            whole.push("/.");
        }
        let path = PathBuf::from(whole);
        let owner = Some((nix::unistd::geteuid(), nix::unistd::getegid()));
        Ok(Self { root, path, owner, _held: None })
    }
}

impl Engine {
    /// In a container, running or not.
    pub fn side(&self, text: &str, path: &Path) -> Result<Side> {
        let id = self.find(text)?;
        let record = self.known(&id, text)?;
        let owner = Some((Uid::from_raw(0), Gid::from_raw(0)));
        let path = Path::new("/").join(path);
        let (root, held) = match self.runs(&record) {
            // With what is mounted in it, as whoever is inside sees it.
            Some(pid) => (Root::open(format!("/proc/{pid}/root").as_ref())?, None),
            None => self.files_at_rest(&record).map(|(root, held)| (root, Some(held)))?,
        };
        Ok(Side { root, path, owner, _held: held })
    }

    /// Copies as `cp -a` does, with docker's rules for what lies where. With `owners` who
    /// owns the files stays; with `follow` a link as the source is what it leads to.
    pub fn copy(&self, from: &Side, to: &Side, owners: bool, follow: bool) -> Result<()> {
        let contents = ends_in(&from.path, "/.");
        let (dir, name) = place(from, contents || follow)?;
        let what = stat(dir.as_fd(), &name).map_err(|errno| match errno {
            Errno::ENOENT => Error::new(format!("Could not find the file {:?}", from.path)),
            errno => Error::os(format!("stat({:?})", from.path), errno),
        })?;
        let copier = Copier { owner: to.owner.filter(|_| !owners) };
        let must_be_directory = ends_in(&to.path, "/") || ends_in(&to.path, "/.");
        let there = to.root.lookup(&to.path, OFlag::O_PATH | OFlag::O_DIRECTORY);
        match there {
            Ok(target) if kind(&what) == SFlag::S_IFDIR && contents => {
                let source = directory(dir.as_fd(), &name)?;
                copier.contents(source, target.as_fd())
            }
            Ok(target) => {
                let last = from.path.file_name().map_or(PathBuf::from("."), PathBuf::from);
                copier.one(dir.as_fd(), &name, target.as_fd(), &last)
            }
            Err(_) if must_be_directory && kind(&what) != SFlag::S_IFDIR => {
                Err(Error::new(format!("no such directory: {:?}", to.path)))
            }
            Err(_) => {
                let (target, last) = place(to, false)?;
                let old = stat(target.as_fd(), &last);
                if kind(&what) == SFlag::S_IFDIR && old.is_ok() {
                    return Err(Error::new("cannot copy a directory to a file"));
                }
                copier.one(dir.as_fd(), &name, target.as_fd(), &last)
            }
        }
    }
}

fn ends_in(path: &Path, end: &str) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(end.as_bytes())
}

/// The directory of a path and its name in it; with `whole` the thing itself, and no name.
fn place(side: &Side, whole: bool) -> Result<(OwnedFd, PathBuf)> {
    let path = side.path.as_path();
    match (path.parent(), path.file_name(), whole) {
        (Some(parent), Some(name), false) => {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
            Ok((side.root.lookup(parent, flags)?, name.into()))
        }
        _ => Ok((side.root.lookup(path, OFlag::O_PATH)?, PathBuf::new())),
    }
}

fn stat(dir: BorrowedFd<'_>, name: &Path) -> nix::Result<FileStat> {
    fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_EMPTY_PATH)
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn directory(dir: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd> {
    let name = if name.as_os_str().is_empty() { Path::new(".") } else { name };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(dir, name, flags, Mode::empty()).call(|| format!("openat({name:?}, O_DIRECTORY)"))
}

struct Copier {
    owner: Option<(Uid, Gid)>,
}

impl Copier {
    /// One thing, with all below it.
    fn one(&self, from: BorrowedFd<'_>, name: &Path, to: BorrowedFd<'_>, new: &Path) -> Result<()> {
        let what = stat(from, name).call(|| format!("stat({name:?})"))?;
        let mode = Mode::from_bits_truncate(what.st_mode & 0o7777);
        let taken = stat(to, new).ok();
        match kind(&what) {
            SFlag::S_IFDIR => {
                match mkdirat(to, new, Mode::S_IRWXU) {
                    Err(Errno::EEXIST) => {}
                    made => made.call(|| format!("mkdirat({new:?})"))?,
                }
                let target = directory(to, new)?;
                self.contents(directory(from, name)?, target.as_fd())?;
            }
            _ if taken.as_ref().is_some_and(|taken| kind(taken) == SFlag::S_IFDIR) => {
                return Err(Error::new(format!("cannot overwrite the directory {new:?}")));
            }
            SFlag::S_IFLNK => {
                let target = readlinkat(from, name).call(|| format!("readlinkat({name:?})"))?;
                remove(to, new)?;
                symlinkat(target.as_os_str(), to, new).call(|| format!("symlinkat({new:?})"))?;
            }
            SFlag::S_IFREG => {
                let source = reading(from, name)?;
                remove(to, new)?;
                let flags = OFlag::O_WRONLY
                    | OFlag::O_CREAT
                    | OFlag::O_EXCL
                    | OFlag::O_NOFOLLOW
                    | OFlag::O_CLOEXEC;
                let target = openat(to, new, flags, Mode::S_IRUSR | Mode::S_IWUSR)
                    .call(|| format!("openat({new:?}, O_CREAT)"))?;
                io::copy(&mut File::from(source), &mut File::from(target))
                    .call(|| format!("copy({name:?})"))?;
            }
            SFlag::S_IFSOCK => return Ok(()),
            other => {
                remove(to, new)?;
                mknodat(to, new, other, mode, what.st_rdev).call(|| format!("mknodat({new:?})"))?;
            }
        }
        self.dress(to, new, &what, mode)
    }

    fn contents(&self, from: OwnedFd, to: BorrowedFd<'_>) -> Result<()> {
        let again = from.try_clone().call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
        let mut dir = Dir::from_fd(again).call(|| "fdopendir")?;
        for entry in dir.iter() {
            let entry = entry.call(|| "readdir")?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                self.one(from.as_fd(), name.as_ref(), to, name.as_ref())?;
            }
        }
        Ok(())
    }

    /// Owner, mode and time, in this order: a change of owner clears set-uid.
    fn dress(&self, to: BorrowedFd<'_>, new: &Path, what: &FileStat, mode: Mode) -> Result<()> {
        let (uid, gid) =
            self.owner.unwrap_or((Uid::from_raw(what.st_uid), Gid::from_raw(what.st_gid)));
        let now = stat(to, new).call(|| format!("stat({new:?})"))?;
        if (now.st_uid, now.st_gid) != (uid.as_raw(), gid.as_raw()) {
            fchownat(to, new, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
                .call(|| format!("fchownat({new:?})"))?;
        }
        match kind(what) {
            SFlag::S_IFLNK => return Ok(()),
            SFlag::S_IFREG | SFlag::S_IFDIR => {
                let flags =
                    OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
                let fd =
                    openat(to, new, flags, Mode::empty()).call(|| format!("openat({new:?})"))?;
                fchmod(&fd, mode).call(|| format!("fchmod({new:?})"))?;
            }
            _ => fchmodat(to, new, mode, FchmodatFlags::FollowSymlink)
                .call(|| format!("fchmodat({new:?})"))?,
        }
        let time = |seconds, nanos| TimeSpec::new(seconds, nanos);
        let (accessed, modified) =
            (time(what.st_atime, what.st_atime_nsec), time(what.st_mtime, what.st_mtime_nsec));
        utimensat(to, new, &accessed, &modified, UtimensatFlags::NoFollowSymlink)
            .call(|| format!("utimensat({new:?})"))
    }
}

/// For reading; without a name what the descriptor stands for.
fn reading(from: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd> {
    if name.as_os_str().is_empty() {
        return ch02_chroot::root::reopen(from, OFlag::O_RDONLY);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    openat(from, name, flags, Mode::empty()).call(|| format!("openat({name:?})"))
}

fn remove(dir: BorrowedFd<'_>, name: &Path) -> Result<()> {
    match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::ENOENT) => Ok(()),
        done => done.call(|| format!("unlinkat({name:?})")),
    }
}
