//! The directory in which entries are made: the parent of each.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Result};
use ch02_chroot::root;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fchmod, futimens, mkdirat};
use nix::sys::time::TimeSpec;

use crate::apply::Applier;
use crate::follow::in_the_way;
use crate::stack::Found;
use crate::{copy_up, trees, whiteout};

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
        let below = self.descend(path);
        self.leave()?;
        let dir = below.map_or_else(|| self.open(path), Ok)?;
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

    /// The directory right below the one that was entered, opened without going all the way.
    fn descend(&self, path: &Path) -> Option<OwnedFd> {
        let place = self.place.as_ref().filter(|place| path.parent() == Some(&place.path))?;
        open_directory(&place.dir, path.file_name()?).ok()
    }

    fn open(&mut self, path: &Path) -> Result<OwnedFd> {
        match self.root.lookup(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Err(error) if matches!(error.errno, Some(Errno::ENOENT | Errno::ENOTDIR)) => {}
            done => return done,
        }
        // Not in this layer; a name in it may be a link of a layer below.
        let (real, _) = self.stack.follow(path)?;
        let (mut made, mut walk) = (PathBuf::new(), self.stack.walk(Path::new(""))?);
        for part in &real {
            let below = walk.step(part)?;
            self.enter(&made)?;
            made.push(part);
            self.make_here(&made, below)?;
        }
        // Name by name: links may lead deeper than any path is long.
        self.enter(&made)?;
        let dir = self.place().try_clone().call(|| "fcntl(F_DUPFD_CLOEXEC)");
        self.leave().and(dir)
    }

    /// A directory in the one that was entered, if it is missing in this layer: as it is
    /// in those below, or a new one.
    fn make_here(&mut self, path: &Path, below: Option<Found>) -> Result<()> {
        let Some(name) = path.file_name() else { return Err(in_the_way(path)) };
        let there = whiteout::look(self.place(), name)?;
        let gone = match &there {
            None => false,
            Some(stat) if whiteout::is(stat) => true,
            Some(stat) if whiteout::kind(stat) == SFlag::S_IFDIR => return Ok(()),
            Some(_) => return Err(in_the_way(path)),
        };
        if gone {
            trees::remove(self.place(), name)?;
        }
        self.space.take_entry()?;
        mkdirat(self.place(), name, Mode::S_IRWXU).call(|| format!("mkdirat({path:?})"))?;
        let dir = open_directory(self.place(), name)?;
        if gone {
            whiteout::make_opaque(&dir, self.in_user_namespace)?;
        }
        match below {
            Some(below) if whiteout::kind(&below.stat) == SFlag::S_IFDIR => {
                copy_up::attributes(&below, self.place(), name)
            }
            Some(_) => Err(in_the_way(path)),
            None => {
                let mode = Mode::from_bits_truncate(0o755);
                fchmod(&dir, mode).call(|| "fchmod(755)")
            }
        }
    }
}

pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

// ANCHOR: open-directory
pub(crate) fn open_directory(parent: impl AsFd, name: &OsStr) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty()).call(|| format!("openat({name:?}, O_NOFOLLOW)"))
}
// ANCHOR_END: open-directory
