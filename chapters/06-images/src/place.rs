//! The directory in which entries are made: the parent of each.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use ch02_chroot::root;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fchmod, futimens, mkdirat};
use nix::sys::time::TimeSpec;

use crate::apply::Applier;
use crate::{trees, whiteout};

/// A directory in which entries are made.
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) dir: OwnedFd,
    /// Its times, which each entry made in it changes: they are put back when we leave it.
    times: [TimeSpec; 2],
}

impl Applier<'_> {
    pub(crate) fn place(&self) -> &OwnedFd {
        &self.place.as_ref().expect("entered before").dir
    }

    /// Goes to a directory, made with all above it where an archive does not say it.
    pub(crate) fn enter(&mut self, path: &Path) -> Result<()> {
        if self.place.as_ref().is_some_and(|place| place.path == path) {
            return Ok(());
        }
        self.leave()?;
        let dir = self.open(path)?;
        let stat = root::stat(&dir)?;
        let times = [
            TimeSpec::new(stat.st_atime, stat.st_atime_nsec),
            TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec),
        ];
        self.place = Some(Place { path: path.to_owned(), dir, times });
        Ok(())
    }

    pub(crate) fn leave(&mut self) -> Result<()> {
        match self.place.take() {
            Some(place) => {
                futimens(&place.dir, &place.times[0], &place.times[1]).call(|| "futimens")
            }
            None => Ok(()),
        }
    }

    fn open(&mut self, path: &Path) -> Result<OwnedFd> {
        match self.root.lookup(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Err(error) if matches!(error.errno, Some(Errno::ENOENT | Errno::ENOTDIR)) => {}
            done => return done,
        }
        let Some(name) = path.file_name() else { return Err(in_the_way(path)) };
        self.enter(parent(path))?;
        let there = whiteout::look(self.place(), name)?;
        match &there {
            None => {}
            Some(stat) if whiteout::is(stat) => trees::remove(self.place(), name)?,
            // A file, or a link that leads nowhere, in this root at least.
            Some(_) => return Err(in_the_way(path)),
        }
        self.space.take_entry()?;
        mkdirat(self.place(), name, Mode::S_IRWXU).call(|| format!("mkdirat({path:?})"))?;
        let dir = open_directory(self.place(), name)?;
        let mode = Mode::S_IRWXU | Mode::S_IRGRP | Mode::S_IXGRP | Mode::S_IROTH | Mode::S_IXOTH;
        fchmod(&dir, mode).call(|| "fchmod(755)")?;
        if there.is_some() {
            whiteout::make_opaque(&dir, self.in_user_namespace)?;
        }
        self.leave()?;
        Ok(dir)
    }
}

fn in_the_way(path: &Path) -> Error {
    Error::os(format!("{path:?} is in the way"), Errno::ENOTDIR)
}

pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

pub(crate) fn open_directory(parent: impl AsFd, name: &OsStr) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty()).call(|| format!("openat({name:?}, O_NOFOLLOW)"))
}
