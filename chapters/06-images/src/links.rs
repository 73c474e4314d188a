//! Catalogue: not needed to understand the chapter.
//!
//! A further name for a file that an archive, or a layer below, has already.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use ch01_clone::{Context, Error, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{LinkatFlags, linkat};

use crate::apply::Applier;
use crate::entry::Entry;
use crate::place::parent;
use crate::{copy_up, whiteout};

impl Applier<'_> {
    pub(crate) fn hard_link(&mut self, entry: &Entry, path: &Path, name: &OsStr) -> Result<()> {
        let target = entry.link_path()?;
        if target == path {
            return Ok(());
        }
        let other = target.file_name().ok_or_else(|| Error::new("a hard link to the root"))?;
        let from = self.linked(&target, other).map_err(|error| missing(error, &target))?;
        self.enter(parent(path))?;
        // Not through a link at its end, either.
        self.make(name, "linkat", |dir| linkat(&from, other, dir, name, LinkatFlags::empty()))
    }

    /// The directory in this layer of a file that gets one more name. If it is in a layer
    /// below, it comes up first.
    fn linked(&mut self, target: &Path, name: &OsStr) -> Result<OwnedFd> {
        let there = |dir: OwnedFd| Ok(whiteout::look(&dir, name)?.map(|_| dir));
        let dir = self.root.lookup(parent(target), OFlag::O_PATH | OFlag::O_DIRECTORY);
        if let Some(dir) = dir.and_then(there).or_else(none_if_missing)? {
            return Ok(dir);
        }
        let gone = || Error::os(format!("linkat({target:?})"), Errno::ENOENT);
        let followed = self.stack.follow(parent(target)).map(Some).or_else(none_if_missing)?;
        let (real, _) = followed.ok_or_else(gone)?;
        let below = self.stack.find(&real.join(name))?.ok_or_else(gone)?;
        self.enter(&real)?;
        self.space.take_entry()?;
        self.space.take(below.stat.st_size as u64)?;
        copy_up::file(&below, self.place(), name)?;
        self.place().try_clone().call(|| "fcntl(F_DUPFD_CLOEXEC)")
    }
}

fn none_if_missing<T>(error: Error) -> Result<Option<T>> {
    match error.errno {
        Some(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        _ => Err(error),
    }
}

fn missing(error: Error, target: &Path) -> Error {
    match error.errno {
        Some(Errno::ENOENT | Errno::ENOTDIR) => {
            error.hint(format!("{target:?} has to come before the hard link to it"))
        }
        _ => error,
    }
}
