//! Volumes: directories that outlive containers, and what containers want of them.
//!
//! ```text
//! ROOT/volumes/NAME/_data         what containers see
//!                  /volume.json   what is known of it
//! ROOT/volumes/.NAME              one that is being made, or that goes
//! ROOT/volumes.lock               held while any of this changes its place
//! ```
//!
//! A volume is made under another name, filled with what the image has in its place, and
//! then renamed: it is whole or not there. Who uses it, the containers' records say.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use ch02_chroot::Root;
use ch06_images::{Stack, copy_up, trees};
use serde::{Deserialize, Serialize};

use super::looks::size_of;
use super::record::Record;
use super::{Engine, names};
use crate::shim::time;

const FILE: &str = "volume.json";

/// What is known of a volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Its name; 64 hexadecimal digits if nobody has named it.
    pub name: String,
    /// When it was made, in nanoseconds since 1970.
    pub created: u64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Whether nobody has named it.
    pub anonymous: bool,
}

impl Engine {
    pub(super) fn volumes_dir(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// What containers see of a volume.
    pub fn volume_data(&self, name: &str) -> PathBuf {
        self.volumes_dir().join(name).join("_data")
    }

    /// Nobody else makes or removes volumes while this is held.
    pub(super) fn lock_volumes(&self) -> Result<File> {
        let mut dirs = DirBuilder::new();
        let dir = self.volumes_dir();
        dirs.recursive(true).mode(0o700).create(&dir).call(|| format!("mkdir({dir:?})"))?;
        let path = self.root.join("volumes.lock");
        let file = File::create(&path).call(|| format!("open({path:?})"))?;
        file.lock().call(|| "flock(volumes.lock)")?;
        Ok(file)
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Result<Vec<Volume>> {
        let Ok(entries) = fs::read_dir(self.volumes_dir()) else { return Ok(Vec::new()) };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        // One that goes at this moment is not there.
        Ok(names.iter().filter_map(|name| self.volume(name).ok()).collect())
    }

    /// A volume by its name.
    pub fn volume(&self, name: &str) -> Result<Volume> {
        let gone = || Error::new(format!("get {name}: no such volume"));
        if check(name).is_err() {
            return Err(gone());
        }
        let path = self.volumes_dir().join(name).join(FILE);
        let bytes = fs::read(&path).map_err(|_| gone())?;
        serde_json::from_slice(&bytes).map_err(|error| Error::new(format!("{path:?}: {error}")))
    }

    /// Makes a volume; of a name that is taken, it is the one that is there.
    pub fn create_volume(
        &self,
        name: Option<&str>,
        labels: BTreeMap<String, String>,
    ) -> Result<Volume> {
        let anonymous = name.is_none();
        let name = name.map_or_else(names::new_id, |name| Ok(name.to_owned()))?;
        check(&name)?;
        let _lock = self.lock_volumes()?;
        if let Ok(volume) = self.volume(&name) {
            return Ok(volume);
        }
        let volume = Volume { name, created: time::now(), labels, anonymous };
        self.make_volume(&volume, None).map(|()| volume)
    }

    /// A volume for a container, filled with what the image has at `target` if it is new or
    /// empty and `image` is given. The caller holds the lock.
    pub(super) fn provide_volume(
        &self,
        name: &str,
        anonymous: bool,
        image: Option<(&Stack, &Path)>,
    ) -> Result<()> {
        let data = self.volume_data(name);
        if self.volume(name).is_err() {
            let labels = BTreeMap::new();
            let volume = Volume { name: name.to_owned(), created: time::now(), labels, anonymous };
            return self.make_volume(&volume, image);
        }
        let empty = fs::read_dir(&data).call(|| format!("read({data:?})"))?.next().is_none();
        match image {
            Some((stack, target)) if empty => copy_up::tree(stack, target, &data).map(drop),
            _ => Ok(()),
        }
    }

    fn make_volume(&self, volume: &Volume, image: Option<(&Stack, &Path)>) -> Result<()> {
        let new = self.volumes_dir().join(format!(".{}", volume.name));
        remove_tree(&new)?;
        let data = new.join("_data");
        DirBuilder::new().mode(0o700).create(&new).call(|| format!("mkdir({new:?})"))?;
        let made = DirBuilder::new().mode(0o755).create(&data).call(|| format!("mkdir({data:?})"));
        let filled = made.and_then(|()| {
            // Whatever mask the caller has.
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&data, mode).call(|| format!("chmod({data:?})"))?;
            image
                .map_or(Ok(()), |(stack, target)| copy_up::tree(stack, target, &data).map(drop))?;
            let text = serde_json::to_vec_pretty(volume).map_err(|e| Error::new(e.to_string()))?;
            fs::write(new.join(FILE), text).call(|| "write(volume.json)")?;
            let to = self.volumes_dir().join(&volume.name);
            fs::rename(&new, &to).call(|| format!("rename({new:?}, {to:?})"))
        });
        // Half of one is none, and its space is given back.
        filled.inspect_err(|_| drop(remove_tree(&new)))
    }

    /// Removes a volume that no container uses, besides one that is about to go.
    pub fn remove_volume(&self, name: &str, but: Option<&str>) -> Result<()> {
        let _lock = self.lock_volumes()?;
        self.volume(name)?;
        let users: Vec<_> = self.list()?.into_iter().filter(|record| uses(record, name)).collect();
        let users: Vec<_> =
            users.iter().map(|record| &*record.id).filter(|id| Some(*id) != but).collect();
        if !users.is_empty() {
            return Err(Error::new(format!(
                "remove {name}: volume is in use - [{}]",
                users.join(", ")
            )));
        }
        let (dir, gone) = (self.volumes_dir(), format!(".{name}"));
        remove_tree(&dir.join(&gone))?;
        let (from, to) = (dir.join(name), dir.join(&gone));
        fs::rename(&from, &to).call(|| format!("rename({from:?}, {to:?})"))?;
        remove_tree(&to)
    }

    /// Removes the nameless volumes of a container that goes.
    pub(super) fn remove_anonymous(&self, record: &Record) -> Result<()> {
        for point in record.plan.mounts.iter().filter(|point| point.anonymous) {
            if let Some(name) = &point.name
                && self.volume(name).is_ok()
            {
                self.remove_volume(name, Some(&record.id))?;
            }
        }
        Ok(())
    }

    /// Clears away what was being made, or removed, by a program that was killed.
    pub(super) fn sweep_volumes(&self) -> Result<()> {
        let Ok(entries) = fs::read_dir(self.volumes_dir()) else { return Ok(()) };
        let hidden = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
        };
        let left: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(hidden).collect();
        if left.is_empty() {
            return Ok(());
        }
        let path = self.root.join("volumes.lock");
        let lock = File::create(&path).call(|| format!("open({path:?})"))?;
        match lock.try_lock() {
            Ok(()) => left.iter().try_for_each(|path| remove_tree(path)),
            // It is being made at this moment.
            Err(_) => Ok(()),
        }
    }

    /// How many containers use a volume.
    pub fn users_of(&self, name: &str) -> Result<usize> {
        Ok(self.list()?.iter().filter(|record| uses(record, name)).count())
    }

    /// What a volume takes on the disk, in bytes.
    pub fn volume_size(&self, name: &str) -> u64 {
        size_of(&self.volume_data(name))
    }
}

fn uses(record: &Record, volume: &str) -> bool {
    record.plan.mounts.iter().any(|point| point.name.as_deref() == Some(volume))
}

fn remove_tree(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_DIRECTORY;
    trees::remove(Root::open(parent)?.lookup("", flags)?, name)
}

/// Docker's rule for names.
pub fn check(name: &str) -> Result<()> {
    if name.len() == 1 {
        return Err(Error::new(format!(
            "create {name}: volume name is too short, names should be at least two alphanumeric \
             characters"
        )));
    }
    names::check(name).map_err(|_| {
        Error::new(format!(
            "create {name}: \"{name}\" includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, \
             use absolute path"
        ))
    })
}
