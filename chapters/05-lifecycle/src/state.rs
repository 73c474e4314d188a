//! What is known of a container, on disk, where the next command finds it.
//!
//! Each command is a program of its own: nobody remembers anything but this
//! directory. It is made first of all, since mkdir(2) gives a name to one only,
//! and what is about to be made is written down before it is made. So whoever is
//! killed at any moment leaves a note of what is to be cleared away.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ch01_clone::{Context, Error, Result};
use ch03_cgroups::Cgroup;
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use crate::hooks::Moment;
use crate::incarnation::Incarnation;
use crate::memory_policy::MemoryPolicy;

/// Where a container stands (runtime.md, "State").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being made.
    Creating,
    /// Made; its program waits for `start`.
    Created,
    /// Its program runs.
    Running,
    /// All its processes stand still.
    Paused,
    /// Its program has ended.
    Stopped,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// What `state` prints, and what hooks read (runtime.md, "State").
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The version of the specification that it follows.
    pub oci_version: String,
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub status: Status,
    /// Its first process, as the host numbers it; 0 when there is none.
    pub pid: i32,
    /// The directory of its bundle.
    pub bundle: PathBuf,
    /// What its configuration says in `annotations`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What is written down: facts that do not change by themselves. Whether its
/// program still runs is not among them; that is looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Note {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    /// Of its configuration: the version, and what it says in `annotations`.
    pub(crate) oci_version: String,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    /// Whether hooks are to be run when it has started, or is gone.
    #[serde(default)]
    pub(crate) hooks: bool,
    /// When it was created.
    pub(crate) created: SystemTime,
    /// Its first process, once there is one.
    pub(crate) init: Option<Incarnation>,
    /// Its cgroup directories, by hierarchy; empty when it has none of its own.
    pub(crate) cgroup: BTreeMap<String, PathBuf>,
    /// Its `linux.memoryPolicy`, for whoever comes later as well.
    #[serde(default)]
    pub(crate) memory_policy: Option<MemoryPolicy>,
}

impl Note {
    /// What is known of a container before it is made.
    pub(crate) fn of(id: &str, bundle: &Path, spec: &Spec) -> Self {
        let late = [Moment::Poststart, Moment::Poststop];
        Self {
            id: id.to_owned(),
            bundle: bundle.to_owned(),
            oci_version: spec.version().clone(),
            annotations: spec.annotations().clone().unwrap_or_default().into_iter().collect(),
            hooks: late.iter().any(|moment| !moment.of(spec.hooks()).is_empty()),
            created: SystemTime::now(),
            init: None,
            cgroup: BTreeMap::new(),
            memory_policy: None,
        }
    }
}

/// A container's directory.
#[derive(Debug, Clone)]
pub(crate) struct Place(pub(crate) PathBuf);

/// A lock on a container. A child that was cloned meanwhile has a copy of the
/// descriptor, so closing ours is not enough: it is unlocked.
pub(crate) struct Lock(File);

impl AsRawFd for Lock {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // It goes with the last descriptor at the latest.
        let _ = self.0.unlock();
    }
}

const NOTE: &str = "state.json";
const DOOR: &str = "start.sock";

impl Place {
    /// Makes the directory of a new container: whoever comes second has lost.
    pub(crate) fn make(root: &Path, id: &str) -> Result<Self> {
        let mut dirs = DirBuilder::new();
        dirs.mode(0o700);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .call(|| format!("mkdir({root:?})"))?;
        let dir = root.join(id);
        // ANCHOR: make
        match dirs.create(&dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(Error::new("container with given ID already exists"))
            }
            made => made.map(|()| Self(dir.clone())).call(|| format!("mkdir({dir:?})")),
        }
        // ANCHOR_END: make
    }

    /// The directory of a container that exists.
    pub(crate) fn find(root: &Path, id: &str) -> Result<Self> {
        let dir = root.join(id);
        match dir.is_dir() {
            true => Ok(Self(dir)),
            false => Err(Error::new("container does not exist")),
        }
    }

    /// Locked as long as the file lives: one command at a time changes a container.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let gone = || Error::new("container does not exist");
        let dir = File::open(&self.0).map_err(|_| gone())?;
        dir.lock().call(|| format!("flock({:?})", self.0))?;
        // Whoever had it before us may have removed the directory, and made another.
        let (held, there) = (dir.metadata(), fs::metadata(&self.0));
        match (held, there) {
            (Ok(held), Ok(there)) if held.ino() == there.ino() => Ok(Lock(dir)),
            _ => Err(gone()),
        }
    }

    /// Writes a file whole: whoever reads sees the old one or the new one, never a part.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        // ANCHOR: write
        let (path, new) = (self.0.join(name), self.0.join(format!("{name}.new")));
        let write = || File::create(&new)?.write_all(bytes);
        write().call(|| format!("write({new:?})"))?;
        fs::rename(&new, &path).call(|| format!("rename({new:?}, {path:?})"))
        // ANCHOR_END: write
    }

    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.0.join(name);
        fs::read(&path).call(|| format!("read({path:?})"))
    }

    pub(crate) fn save(&self, note: &Note) -> Result<()> {
        let text = serde_json::to_vec(note).map_err(|error| Error::new(error.to_string()))?;
        self.write(NOTE, &text)
    }

    /// What is written down; `None` of one that is only a directory yet.
    pub(crate) fn note(&self) -> Result<Option<Note>> {
        match self.read(NOTE) {
            Err(error) if error.errno == Some(nix::errno::Errno::ENOENT) => Ok(None),
            read => serde_json::from_slice(&read?)
                .map(Some)
                .map_err(|error| Error::new(format!("{:?}: {error}", self.0.join(NOTE)))),
        }
    }

    /// The socket on which its first process waits for `start`.
    pub(crate) fn door(&self) -> PathBuf {
        self.0.join(DOOR)
    }

    /// Where it stands, by what is written down and by what is there.
    pub(crate) fn status(&self, note: Option<&Note>) -> Status {
        let Some(note) = note else { return Status::Creating };
        // ANCHOR: status
        let Some(init) = note.init else { return Status::Creating };
        if !init.alive() {
            return Status::Stopped;
        }
        if self.door().exists() {
            return Status::Created;
        }
        // ANCHOR_END: status
        let cgroup = Cgroup::from_paths(note.cgroup.clone());
        match cgroup.and_then(|cgroup| cgroup.frozen()) {
            Ok(true) => Status::Paused,
            _ => Status::Running,
        }
    }

    /// Removes the directory and all in it.
    pub(crate) fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).call(|| format!("remove({:?})", self.0))
            }
            _ => Ok(()),
        }
    }
}
