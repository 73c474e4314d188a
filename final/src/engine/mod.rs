//! What Dockster does, one file a noun. The truth is on disk, below one root.

pub mod build;
mod clear;
mod commands;
pub mod commit;
pub mod containers;
pub mod copy;
pub mod events;
pub mod exec;
mod files;
pub mod health;
mod host_side;
pub mod images;
mod life;
mod looks;
mod name_files;
mod names;
pub mod network;
pub mod points;
pub mod record;
pub mod registry;
pub mod signals;
mod spec;
mod teardown;
mod tree;
pub mod volumes;
pub mod wire;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Result};
use ch06_images::Store;
use sha2::{Digest, Sha256};

use crate::rootless;
use crate::rootless::keeper::Keeper;

/// Where everything is kept unless `--root` or DOCKSTER_ROOT says otherwise.
pub fn default_root() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/".into()));
    match rootless::inside() || rootless::needed() {
        true => std::env::var_os("XDG_DATA_HOME")
            .map_or_else(|| home().join(".local/share"), PathBuf::from)
            .join("dockster"),
        false => "/var/lib/dockster".into(),
    }
}

/// Processes that live in the user namespaces of containers that run: first of the one
/// that `wanted` names, then of whoever keeps the user's network. For an ordinary user, who
/// is not in any of them yet.
pub fn people_in(root: &Path, wanted: Option<&str>) -> impl Iterator<Item = i32> {
    let dir = root.join("containers");
    let wanted = wanted.map(|name| match std::fs::read_link(root.join("names").join(name)) {
        Ok(id) => id,
        Err(_) => name.into(),
    });
    let keeper = Keeper::find(&root.join("networks")).map(|keeper| keeper.process.pid);
    let all = std::fs::read_dir(&dir).into_iter().flatten().flatten();
    let all = all.map(|entry| entry.file_name().into());
    let people = move |id: PathBuf| {
        let record = record::Record::load(&dir.join(id)).ok().flatten();
        let people = record.map(|record| [record.monitor, record.init]).into_iter().flatten();
        people.flatten().filter(|one| one.alive()).map(|one| one.pid).collect::<Vec<_>>()
    };
    let first = wanted.map(&people).unwrap_or_default();
    first.into_iter().chain(keeper).chain(all.flat_map(people))
}

/// The engine: all state lies below its root, and all names follow from it.
pub struct Engine {
    root: PathBuf,
    store: Store,
    /// How registries are reached (`daemon.json`).
    pub config_file: PathBuf,
}

impl Engine {
    /// The engine with this root, which is made if it is missing.
    pub fn open(root: &Path) -> Result<Self> {
        let mut dirs = DirBuilder::new();
        dirs.recursive(true).mode(0o700);
        for dir in [root, &root.join("containers"), &root.join("names")] {
            dirs.create(dir).call(|| format!("mkdir({dir:?})"))?;
        }
        let root = root.canonicalize().call(|| format!("realpath({root:?})"))?;
        let store = Store::open(&root)?;
        Ok(Self { root, store, config_file: registry::default_config() })
    }

    /// The images.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The directory of a container.
    fn container(&self, id: &str) -> PathBuf {
        self.root.join("containers").join(id)
    }

    /// The cgroup that holds those of our containers; another root has another one.
    fn cgroup_parent(&self) -> String {
        mark(&self.root).map_or("dockster".to_owned(), |mark| format!("dockster-{mark}"))
    }
}

/// What is in the names of all that a root has outside of itself; the usual one has no mark.
fn mark(root: &Path) -> Option<String> {
    let digest = Sha256::digest(root.as_os_str().as_encoded_bytes());
    let hex = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    (root != Path::new("/var/lib/dockster")).then_some(hex)
}
