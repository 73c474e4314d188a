//! The one way to reach a path inside a container's root.
//!
//! A path that a container can influence is a trap: any part of it may be a
//! symbolic link to the host, now or a moment after somebody checked. So nobody
//! here joins such a path to the root's. openat2(2) resolves it as if the root
//! were `/`, in one call, and from then on there is only a descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat, mknodat};
use nix::unistd::symlinkat;

/// How often a lookup may lose against renames beside it before we give up.
const TRIES: u32 = 128;

/// A directory that is the root for every path given to it.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// The root at a path of the host's, which is trusted.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd =
            open(path, flags, Mode::empty()).call(|| format!("open({path:?}, O_DIRECTORY)"))?;
        Ok(Self(fd))
    }

    // ANCHOR: lookup
    /// Opens what lies at `path`, wherever its links lead: they cannot leave the root.
    pub fn lookup(&self, path: impl AsRef<Path>, flags: OFlag) -> Result<OwnedFd> {
        let path = match path.as_ref() {
            empty if empty.as_os_str().is_empty() => Path::new("."),
            path => path,
        };
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        for _ in 0..TRIES {
            match openat2(&self.0, path, how) {
                // Something was renamed meanwhile, and the kernel would not guess.
                Err(Errno::EAGAIN | Errno::EINTR) => continue,
                done => return done.call(|| format!("openat2({path:?}, RESOLVE_IN_ROOT)")),
            }
        }
        Err(Error::os(format!("openat2({path:?}, RESOLVE_IN_ROOT)"), Errno::EAGAIN))
    }
    // ANCHOR_END: lookup

    /// A handle on what lies at `path`: for a look, or to mount on it.
    pub fn handle(&self, path: impl AsRef<Path>) -> Result<OwnedFd> {
        self.lookup(path, OFlag::O_PATH)
    }

    /// The directory at `path`, made with all above it where they are missing.
    pub fn make_dir(&self, path: impl AsRef<Path>, mode: u32) -> Result<OwnedFd> {
        let path = path.as_ref();
        let dir = OFlag::O_PATH | OFlag::O_DIRECTORY;
        match self.lookup(path, dir) {
            Err(error) if error.errno == Some(Errno::ENOENT) => {}
            done => return done,
        }
        let (parent, name) = split(path)?;
        let parent = self.make_dir(&parent, mode)?;
        // ANCHOR: make-dir
        match mkdirat(&parent, &name, Mode::from_bits_truncate(mode)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(Error::os(format!("mkdirat({path:?})"), errno)),
        }
        // What was made, or what somebody put there first: a directory, and not a link.
        let flags = dir | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&parent, &name, flags, Mode::empty())
            .call(|| format!("openat({name:?}, O_NOFOLLOW)"))
        // ANCHOR_END: make-dir
    }

    /// The file at `path`, made empty if it is missing: something to mount a file on.
    pub fn make_file(&self, path: impl AsRef<Path>) -> Result<OwnedFd> {
        let path = path.as_ref();
        match self.handle(path) {
            Err(error) if error.errno == Some(Errno::ENOENT) => {}
            done => return done,
        }
        let (parent, name) = split(path)?;
        let parent = self.make_dir(&parent, 0o755)?;
        let flags = OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&parent, &name, flags, Mode::from_bits_truncate(0o644))
            .call(|| format!("openat({name:?}, O_CREAT|O_NOFOLLOW)"))
    }

    /// A symbolic link at `path`, unless something is there.
    pub fn make_link(&self, target: &str, path: impl AsRef<Path>) -> Result<()> {
        let (parent, name) = split(path.as_ref())?;
        let parent = self.make_dir(&parent, 0o755)?;
        match symlinkat(target, &parent, &name) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(Error::os(format!("symlinkat({target:?}, {name:?})"), errno)),
        }
    }

    /// A device at `path`, unless something is there.
    pub fn make_device(
        &self,
        path: impl AsRef<Path>,
        kind: SFlag,
        mode: u32,
        dev: u64,
    ) -> Result<()> {
        let (parent, name) = split(path.as_ref())?;
        let parent = self.make_dir(&parent, 0o755)?;
        match mknodat(&parent, &name, kind, Mode::from_bits_truncate(mode), dev) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(Error::os(format!("mknodat({name:?})"), errno)),
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Root {
    fn from(directory: OwnedFd) -> Self {
        Self(directory)
    }
}

/// What a handle stands for: never what lies at its path now.
pub fn stat(handle: impl AsFd) -> Result<FileStat> {
    fstat(handle).call(|| "fstat")
}

/// Opens again what a handle stands for, for reading or writing.
pub fn reopen(handle: impl AsFd, flags: OFlag) -> Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&handle.as_fd()));
    open(path.as_str(), flags | OFlag::O_CLOEXEC, Mode::empty()).call(|| format!("open({path:?})"))
}

/// Whether a handle is a symbolic link itself (looked up with O_NOFOLLOW).
pub fn is_link(handle: impl AsFd) -> Result<bool> {
    let stat = nix::sys::stat::fstatat(handle, "", AtFlags::AT_EMPTY_PATH).call(|| "fstatat")?;
    Ok(SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK)
}

/// A path's parent, to be looked up, and its last name, which must be one.
fn split(path: &Path) -> Result<(PathBuf, PathBuf)> {
    match (path.parent(), path.components().next_back()) {
        (Some(parent), Some(Component::Normal(name))) => Ok((parent.to_owned(), name.into())),
        _ => Err(Error::new(format!("{path:?} does not end in a name"))),
    }
}
