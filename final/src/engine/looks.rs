//! Looks at a container: its processes, what has changed in its files.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use ch01_clone::{Context, Error, Result};
use ch02_chroot::Root;
use nix::fcntl::OFlag;

use super::record::Record;
use super::{Engine, tree};

impl Engine {
    /// Its processes, as the host numbers them.
    pub fn processes(&self, record: &Record) -> Result<Vec<i32>> {
        if let Some(cgroup) = self.cgroup_of(record)? {
            return Ok(cgroup.procs()?.into_iter().map(nix::unistd::Pid::as_raw).collect());
        }
        // Without a cgroup: whoever is in its PID namespace.
        let init = record.init.ok_or_else(|| Error::new("it does not run"))?;
        let space = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let own = space(&init.pid.to_string());
        let entries = fs::read_dir("/proc").call(|| "read(/proc)")?.flatten();
        let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let inside = pids.filter(|pid| own.is_some() && space(pid) == own);
        Ok(inside.filter_map(|pid| pid.parse().ok()).collect())
    }

    /// What was added (`A`), changed (`C`) and deleted (`D`) in its files, in order.
    pub fn diff(&self, text: &str) -> Result<Vec<(char, String)>> {
        let id = self.find(text)?;
        let record = self.known(&id, text)?;
        let layers =
            record.plan.layers.iter().map(|layer| Root::open(layer)).collect::<Result<Vec<_>>>()?;
        let upper = self.container(&id).join("upper");
        if tree::is_copy(&self.container(&id)) {
            return tree::differences(&record.plan.layers, &upper);
        }
        let mut changes = Vec::new();
        if upper.exists() {
            walk(&upper, "", &layers, &mut changes)?;
        }
        Ok(changes)
    }

    /// How much it has written, in bytes.
    pub fn written(&self, record: &Record) -> u64 {
        size_of(&self.container(&record.id).join("upper"))
    }

    /// How much that is with its image, in bytes.
    pub fn with_image(&self, record: &Record) -> u64 {
        self.written(record) + record.plan.layers.iter().map(|layer| size_of(layer)).sum::<u64>()
    }
}

/// The upper directory holds what was written, and a device 0/0 for what was deleted.
/// Links in it are not followed: names come from reading directories.
fn walk(dir: &Path, at: &str, layers: &[Root], changes: &mut Vec<(char, String)>) -> Result<()> {
    let entries = fs::read_dir(dir).call(|| format!("read({dir:?})"))?;
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let path = format!("{at}/{}", entry.file_name().to_string_lossy());
        let metadata = entry.metadata().call(|| format!("stat({path:?})"))?;
        let below = |layer: &Root| layer.lookup(&path[1..], OFlag::O_PATH | OFlag::O_NOFOLLOW);
        let known = layers.iter().any(|layer| below(layer).is_ok());
        if metadata.file_type().is_char_device() && metadata.rdev() == 0 {
            changes.push(('D', path));
            continue;
        }
        changes.push((if known { 'C' } else { 'A' }, path.clone()));
        if metadata.is_dir() {
            walk(&entry.path(), &path, layers, changes)?;
        }
    }
    Ok(())
}

pub(super) fn size_of(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}
