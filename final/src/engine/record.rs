//! What is known of a container, on disk, where anybody can read it.
//!
//! Whatever is made is recorded before it is made: a runtime that is killed at
//! any moment leaves a record of what the next one has to clear away. Whoever
//! is responsible for a container holds the lock of its directory for as long
//! as it lives; a lock that nobody holds means that nobody is responsible.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ch01_clone::{Context, Error, Result};
use ch05_lifecycle::Incarnation;
use serde::{Deserialize, Serialize};

/// Its file in the container's directory.
const FILE: &str = "state.json";

/// What is known of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// Its name, unique beside it.
    pub name: String,
    /// The name of its image.
    pub image: String,
    /// The digest of its image's configuration.
    pub image_id: String,
    /// What it runs.
    pub command: Vec<String>,
    /// When it was created, in seconds since 1970.
    pub created: u64,
    /// Where it stands.
    pub status: Status,
    /// Whether it is removed when it ends.
    pub auto_remove: bool,
    /// Who sees to it: keeps its terminal, waits for it, removes it.
    pub monitor: Option<Incarnation>,
    /// Its first process, as the host numbers it.
    pub init: Option<Incarnation>,
    /// Its cgroup directories, by hierarchy.
    pub cgroup: BTreeMap<String, PathBuf>,
    /// Its exit status, once it has one.
    pub exit_code: Option<u8>,
    /// Whether the memory limit killed a process of it.
    #[serde(default)]
    pub oom_killed: bool,
}

/// Where a container stands, as the OCI runtime specification names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being made.
    Creating,
    /// Its program runs.
    Running,
    /// Its program has ended.
    Stopped,
}

impl Record {
    /// Reads the record in a container's directory; `None` if there is none (yet).
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| Error::new(format!("{path:?}: {error}"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).call(|| format!("read({path:?})")),
        }
    }

    /// Writes it: whoever reads sees the old one or the new one, never a part.
    ///
    /// It is not forced to the disk. After a power cut no process of a container
    /// is left, and a record that is missing or empty says that there is only a
    /// directory to remove.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let (path, new) = (dir.join(FILE), dir.join("state.json.new"));
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::new(e.to_string()))?;
        let write = || File::create(&new)?.write_all(&text);
        write().call(|| format!("write({new:?})"))?;
        fs::rename(&new, &path).call(|| format!("rename({new:?}, {path:?})"))
    }
}

/// A container's directory, held by whoever is responsible for it.
#[derive(Debug)]
pub struct Claim {
    dir: PathBuf,
    /// Its lock goes with the descriptor, and so with the process.
    lock: File,
}

impl Claim {
    /// Makes the directory, and holds it.
    pub fn create(dir: PathBuf) -> Result<Self> {
        loop {
            match fs::DirBuilder::new().mode(0o700).create(&dir) {
                // Ours still: the id is random.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                made => made.call(|| format!("mkdir({dir:?})"))?,
            }
            // Between these two somebody who clears away may have taken it for
            // an abandoned one. Then it goes in a moment, and is made again.
            if let Some(claim) = Self::take(&dir)? {
                return Ok(claim);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Holds a directory that nobody is responsible for; `None` if somebody is, or it is gone.
    pub fn take(dir: &Path) -> Result<Option<Self>> {
        let Ok(lock) = File::open(dir) else { return Ok(None) };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if !abandoned(dir) => return Ok(None),
            // Its child at the gate has the lock too, and is about to notice.
            Err(TryLockError::WouldBlock) => return Self::wait(dir, lock),
            Err(TryLockError::Error(error)) => {
                return Err(error).call(|| format!("flock({dir:?})"));
            }
        }
        Ok(Self { dir: dir.to_owned(), lock }.if_there())
    }

    fn wait(dir: &Path, lock: File) -> Result<Option<Self>> {
        for _ in 0..200 {
            if lock.try_lock().is_ok() {
                return Ok(Self { dir: dir.to_owned(), lock }.if_there());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(None)
    }

    /// A lock on a directory that has been removed meanwhile is worth nothing.
    fn if_there(self) -> Option<Self> {
        let held = self.lock.metadata().ok()?;
        let there = fs::metadata(&self.dir).ok()?;
        (held.ino() == there.ino()).then_some(self)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Removes the directory and all in it.
    pub fn remove(self) -> Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).call(|| format!("remove({:?})", self.dir))
            }
            _ => Ok(()),
        }
    }
}

/// Whether the monitor in the record has died.
fn abandoned(dir: &Path) -> bool {
    let monitor = Record::load(dir).ok().flatten().and_then(|record| record.monitor);
    monitor.is_some_and(|monitor| !monitor.alive())
}
