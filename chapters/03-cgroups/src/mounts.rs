//! Catalogue: not needed to understand the chapter.
//!
//! Where cgroup file systems are mounted, from `/proc/self/mountinfo`, and which
//! directory of one is our own, from `/proc/self/cgroup`. Manual: proc(5), cgroups(7).

use std::path::{Path, PathBuf};

use crate::subtree::LEAF;

/// One line of `/proc/self/mountinfo`.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    /// The directory of the file system that is mounted: not `/` inside a container.
    root: PathBuf,
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// The file system's options, which are the controllers in version 1.
    pub(crate) options: String,
}

impl Mount {
    /// All mounts of this file system type, the shortest path first: the
    /// others are in somebody's root directory.
    ///
    /// ```text
    /// 35 25 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
    ///            │ └ where it is                         └ type    └ source  └ options
    ///            └ which directory of it
    /// ```
    pub(crate) fn find(mountinfo: &str, fstype: &str) -> Vec<Mount> {
        let parse = |line: &str| {
            let (place, what) = line.split_once(" - ")?;
            let (place, what): (Vec<_>, Vec<_>) =
                (place.split(' ').collect(), what.split(' ').collect());
            (what[0] == fstype).then_some(())?;
            Some(Mount {
                root: place.get(3)?.into(),
                point: place.get(4)?.into(),
                options: what.get(2)?.to_string(),
            })
        };
        let mut mounts: Vec<_> = mountinfo.lines().filter_map(parse).collect();
        mounts.sort_by_key(|mount| mount.point.as_os_str().len());
        mounts
    }

    /// The directory of our own cgroup, from `0::/user.slice/session-1.scope`.
    pub(crate) fn own_directory(&self, proc_cgroup: &str) -> PathBuf {
        let own = self.directory(proc_cgroup);
        // We have made room in a delegated cgroup before (see `subtree`).
        if own.ends_with(LEAF) { own.parent().unwrap_or(&own).to_owned() } else { own }
    }

    /// The directory of a process's cgroup, from its `/proc/PID/cgroup`.
    pub(crate) fn directory(&self, proc_cgroup: &str) -> PathBuf {
        let line = proc_cgroup.lines().find_map(|line| line.strip_prefix("0::"));
        let path = Path::new(line.unwrap_or("/"));
        // A path outside what is mounted here cannot be reached: take the top.
        let below = path.strip_prefix(&self.root).unwrap_or(Path::new(""));
        if below.starts_with("..") { self.point.clone() } else { self.point.join(below) }
    }
}
