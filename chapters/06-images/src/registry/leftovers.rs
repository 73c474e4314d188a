//! Catalogue: not needed to understand the chapter.
//!
//! `downloads/`: what pulls have so far, and what those have left that did not come to
//! their end.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Result};

use crate::store::Store;

impl Store {
    pub(super) fn downloads(&self) -> Result<PathBuf> {
        let dir = self.root.join("downloads");
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.call(|| format!("mkdir({dir:?})"))?;
        Ok(dir)
    }

    /// While this is held nobody forgets downloads.
    pub(super) fn keep_downloads(&self) -> Result<File> {
        let dir = self.downloads()?;
        let file = File::open(&dir).call(|| format!("open({dir:?})"))?;
        file.lock_shared().call(|| format!("flock({dir:?}, LOCK_SH)"))?;
        Ok(file)
    }

    /// Removes what pulls have left that did not come to their end, unless one runs;
    /// returns how many bytes that were.
    pub fn forget_downloads(&self) -> Result<u64> {
        let dir = self.root.join("downloads");
        let Ok(lock) = File::open(&dir) else { return Ok(0) };
        if lock.try_lock().is_err() {
            return Ok(0);
        }
        let mut bytes = 0;
        for entry in fs::read_dir(&dir).call(|| format!("opendir({dir:?})"))? {
            let entry = entry.call(|| format!("readdir({dir:?})"))?;
            bytes += entry.metadata().map_or(0, |about| about.len());
            remove(&entry.path())?;
        }
        Ok(bytes)
    }
}

pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).call(|| format!("unlink({path:?})"))
        }
        _ => Ok(()),
    }
}
