//! Catalogue: not needed to understand the chapter.
//!
//! The files of a build that come as an archive, and not as a directory.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ch01_clone::{Context as _, Error, Result};
use ch02_chroot::Root;
use ch02_chroot::root::{reopen, stat};
use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;

use super::copy::is_missing;
use crate::ingest::Ingest;
use crate::space::Limits;
use crate::store::Store;
use crate::whiteout::kind;

/// No Dockerfile is as long.
const LONGEST: u64 = 16 << 20;

/// What was unpacked; it goes with this.
pub struct Sent {
    path: PathBuf,
    root: Root,
    _ingest: Ingest,
}

impl Store {
    /// Unpacks an archive, packed by gzip or zstd or not at all, to build with it.
    ///
    /// # Errors
    /// What is wrong with the archive, no room.
    pub fn context(&self, archive: impl Read + Send) -> Result<Sent> {
        self.sweep()?;
        let ingest = Ingest::begin(self)?;
        let path = ingest.unpack_from(archive, &[], Limits::default())?.path;
        Ok(Sent { root: Root::open(&path)?, path, _ingest: ingest })
    }
}

impl Sent {
    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.path
    }

    /// The text of a file in it, wherever its links point to, and when it was changed, in
    /// seconds since 1970.
    ///
    /// # Errors
    /// No file but something else, or no text.
    pub fn text(&self, name: &Path) -> Result<Option<(String, i64)>> {
        let handle = match self.root.handle(name) {
            Err(error) if is_missing(&error) => return Ok(None),
            found => found?,
        };
        let about = stat(&handle)?;
        if kind(&about) != SFlag::S_IFREG {
            return Err(Error::new(format!("{name:?} is no file")));
        }
        let file = File::from(reopen(&handle, OFlag::O_RDONLY)?);
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text).call(|| format!("read({name:?})"))?;
        Ok(Some((text, about.st_mtime)))
    }
}
