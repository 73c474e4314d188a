//! The lab's cgroup looks like the root of all cgroups in here, so that what is made
//! inside lies below the ceiling.
//!
//! The cgroup namespace is there already. The file systems have to be mounted anew,
//! since a mount shows what its mounter's namespace shows.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result};

use super::super::Ceiling;

const TOP: &str = "/sys/fs/cgroup";

/// In the lab: mounts each cgroup file system anew, and makes room.
pub(super) fn enter(ceiling: &Ceiling) -> Result<()> {
    let own = match ceiling {
        Ceiling::Cgroup(cgroup) => cgroup.paths(),
        Ceiling::Each(why) => return Err(Error::new(why.clone())),
    };
    let text = fs::read_to_string("/proc/self/mountinfo").call(|| "read(mountinfo)")?;
    let (mut all, links) = (mounts(&text), links());
    // A hierarchy in which the lab has no cgroup is the machine's: what is made there stays.
    all.retain(|mount| own.values().any(|dir| dir.starts_with(&mount.point)));
    // The kernel mounts no file system over itself, but over an empty one.
    super::mount_over("tmpfs", Path::new(TOP), "mode=755")?;
    for (name, target) in links {
        symlink(&target, &name).call(|| format!("symlink({target:?}, {name:?})"))?;
    }
    for CgroupMount { kind, point, options } in &all {
        fs::create_dir_all(point).call(|| format!("mkdir({point:?})"))?;
        let mounted = super::mount_over(kind, point, options);
        // Others than those that limit may be of a kind that we cannot mount.
        if is_needed(kind, options) {
            mounted?;
        }
    }
    match all.iter().find(|mount| mount.kind == "cgroup2") {
        Some(mount) => make_room(&mount.point),
        None => Ok(()),
    }
}

/// With version 1, `cpu` is often a link to `cpu,cpuacct`.
fn links() -> Vec<(PathBuf, PathBuf)> {
    let entries = fs::read_dir(TOP).into_iter().flatten().flatten();
    let link = |path: PathBuf| Some((path.clone(), fs::read_link(path).ok()?));
    entries.filter_map(|entry| link(entry.path())).collect()
}

/// **No internal processes**: a version 2 cgroup that hands on controllers holds none.
/// So PID 1, and with it the shell, goes into a leaf, and others can be made beside.
fn make_room(top: &Path) -> Result<()> {
    let leaf = top.join("lab");
    fs::create_dir(&leaf).call(|| format!("mkdir({leaf:?})"))?;
    let procs = leaf.join("cgroup.procs");
    fs::write(&procs, "0").call(|| format!("write({procs:?})"))?;
    let listed = fs::read_to_string(top.join("cgroup.controllers")).unwrap_or_default();
    for controller in listed.split_whitespace() {
        // Some cannot be handed on in here; who wants one of these will hear why.
        let _ = fs::write(top.join("cgroup.subtree_control"), format!("+{controller}"));
    }
    Ok(())
}

/// A cgroup file system, and how to mount it once more.
#[derive(Debug, PartialEq, Eq)]
struct CgroupMount {
    kind: String,
    point: PathBuf,
    options: String,
}

/// All of them, each point once, from `/proc/self/mountinfo`.
fn mounts(mountinfo: &str) -> Vec<CgroupMount> {
    let mut all: Vec<CgroupMount> = Vec::new();
    for line in mountinfo.lines() {
        let Some((place, what)) = line.split_once(" - ") else { continue };
        let (point, mut what) = (place.split(' ').nth(4), what.split(' '));
        let (Some(point), Some(kind), Some(options)) = (point, what.next(), what.nth(1)) else {
            continue;
        };
        let seen = all.iter().any(|mount| mount.point == Path::new(point));
        if matches!(kind, "cgroup" | "cgroup2") && point.starts_with(TOP) && !seen {
            let options = if kind == "cgroup" { controllers(options) } else { String::new() };
            all.push(CgroupMount { kind: kind.to_owned(), point: point.into(), options });
        }
    }
    all
}

/// What says which version 1 hierarchy it is: its controllers, or its name.
fn controllers(options: &str) -> String {
    let words = options.split(',');
    if let Some(name) = words.clone().find(|word| word.starts_with("name=")) {
        return format!("none,{name}");
    }
    let other = ["rw", "ro", "xattr", "seclabel", "noprefix", "clone_children"];
    words.filter(|w| !other.contains(w) && !w.contains('=')).collect::<Vec<_>>().join(",")
}

fn is_needed(kind: &str, options: &str) -> bool {
    kind == "cgroup2" || options.split(',').any(|word| matches!(word, "memory" | "pids" | "cpu"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_versions() {
        let text = "30 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 none rw,nsdelegate\n\
                    31 25 0:27 /../a /sys/fs/cgroup/cpu,cpuacct rw - cgroup none rw,cpu,cpuacct\n\
                    32 25 0:28 / /sys/fs/cgroup/systemd rw - cgroup none rw,xattr,name=systemd\n\
                    33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n\
                    34 25 0:30 / /tmp rw - tmpfs none rw\n";
        let all = mounts(text);
        let options: Vec<_> = all.iter().map(|mount| mount.options.as_str()).collect();
        assert_eq!(options, ["", "cpu,cpuacct", "none,name=systemd"]);
        assert!(is_needed("cgroup", "cpu,cpuacct") && !is_needed("cgroup", "none,name=systemd"));
    }
}
