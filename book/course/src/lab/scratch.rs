//! The directory in which a lab's shell stands: empty but for a root file system to play
//! with, and deleted at the end.

use std::fs;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Gate, IdMaps, Namespace, Namespaces, Plan, Result};
use nix::unistd::geteuid;

/// Such a directory is called so, and then the pid of its `x`.
pub const PREFIX: &str = "dockster-lab-";

/// What the child says that has removed everything: it ends in an error, since it
/// becomes no program.
const DONE: &str = "removed";

/// The directory; deleted when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes it, in the directory for temporary files.
    pub fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
        // Left by a lab that was killed, whose pid we have now.
        if path.exists() {
            remove_all(&path)?;
        }
        fs::create_dir(&path).call(|| format!("mkdir({path:?})"))?;
        Ok(Self(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove_all(&self.0) {
            eprintln!("cargo x: {} is left: {error}", self.0.display());
        }
    }
}

/// Deletes a directory, also where containers have left files of other owners, or
/// directories that nobody may read: an ordinary user is root over these in a user
/// namespace.
pub fn remove_all(path: &Path) -> Result<()> {
    let removed = fs::remove_dir_all(path).call(|| format!("remove({path:?})"));
    if removed.is_ok() || geteuid().is_root() || !path.exists() {
        return removed;
    }
    let plan = Plan {
        namespaces: Namespaces::of([Namespace::User]),
        ids: Some(IdMaps::best()),
        cgroup: None,
    };
    let child = plan.spawn(|_: &Gate| {
        // The directory itself lies in one that is not ours, /tmp: only the owner
        // may take it from there, and we are that in here as well.
        fs::remove_dir_all(path).call(|| format!("remove({path:?})"))?;
        Err(Error::new(DONE))
    })?;
    match child.start() {
        Err(error) if error.call == DONE => Ok(()),
        Err(error) => Err(error),
        Ok(_) => removed,
    }
}
