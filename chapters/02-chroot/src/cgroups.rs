//! Catalogue: not needed to understand the chapter.
//!
//! A mount of type `cgroup`: the container's own cgroup, as this machine has it.
//!
//! Version 2 is one file system. Version 1 is one for each controller, below a
//! tmpfs. In a cgroup namespace a new mount begins at the container's own
//! cgroup; in the host's, the own directory is bound.

use std::fs::read_to_string;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Namespace, Result};
use nix::errno::Errno;

use crate::mount::{self, Attributes, Mount, copy_tree, move_mount, new_file_system};
use crate::root::Root;

/// The inode number of the first cgroup namespace (the kernel's proc_ns.h).
const FIRST: u64 = 0xEFFF_FFFB;

/// A hierarchy of the machine.
struct Hierarchy {
    /// `cgroup` or `cgroup2`.
    kind: String,
    /// Where it is mounted.
    point: PathBuf,
    /// The directory of it that is mounted there.
    root: PathBuf,
    /// Which one: its controllers, or `name=...`; none for version 2.
    options: Vec<String>,
}

/// Mounts it inside `root`; `finish` sets what the configuration says of it.
pub(crate) fn attach(
    mount: &Mount,
    root: &Root,
    finish: impl Fn(BorrowedFd<'_>) -> Result<()>,
) -> Result<()> {
    let read = |path: &str| read_to_string(path).call(|| format!("read({path:?})"));
    let (info, own) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
    let all = find(&info);
    let apart = Namespace::Cgroup.of("self").call(|| "stat(/proc/self/ns/cgroup)")? != FIRST;
    if let [only] = &all[..]
        && only.kind == "cgroup2"
    {
        let made = match apart {
            true => only.make(&own)?,
            // A new mount would change the options of the host's.
            false => copy_tree(&only.point)?,
        };
        finish(made.as_fd())?;
        return move_mount(made.as_fd(), mount.place(root, made.as_fd())?.as_fd());
    }
    if all.is_empty() {
        return Err(Error::new("no cgroup file system is mounted on this machine"));
    }
    let tmpfs = new_file_system("tmpfs", &["mode=755".to_owned()])?;
    mount::set_attributes(tmpfs.as_fd(), Attributes { read_only: false, ..Attributes::DATA })?;
    move_mount(tmpfs.as_fd(), mount.place(root, tmpfs.as_fd())?.as_fd())?;
    let top = Root::from(tmpfs);
    for hierarchy in &all {
        let made = if apart { hierarchy.make(&own)? } else { hierarchy.bind(&own)? };
        mount::set_attributes(made.as_fd(), Attributes::DATA)?;
        finish(made.as_fd())?;
        let name = hierarchy.name();
        move_mount(made.as_fd(), top.make_dir(name, 0o755)?.as_fd())?;
        // Programs look for each controller by its own name.
        for controller in name.split(',').filter(|_| name.contains(',')) {
            top.make_link(name, controller)?;
        }
    }
    finish(top.as_fd())
}

/// Each hierarchy once, from /proc/self/mountinfo (proc(5)).
fn find(mountinfo: &str) -> Vec<Hierarchy> {
    let mut all: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((place, what)) = line.split_once(" - ") else { continue };
        let (place, what): (Vec<_>, Vec<_>) =
            (place.split(' ').collect(), what.split(' ').collect());
        let (&[_, _, _, root, point, ..], &[kind, _, options, ..]) = (&place[..], &what[..]) else {
            continue;
        };
        if kind != "cgroup" && kind != "cgroup2" {
            continue;
        }
        let options = match kind {
            "cgroup" => options.split(',').filter(|o| names_it(o)).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let new =
            Hierarchy { kind: kind.to_owned(), point: point.into(), root: root.into(), options };
        if !all.iter().any(|old| old.kind == new.kind && old.options == new.options) {
            all.push(new);
        }
    }
    all
}

/// Whether an option says which hierarchy it is.
fn names_it(option: &str) -> bool {
    const OTHER: [&str; 5] = ["rw", "ro", "clone_children", "noprefix", "seclabel"];
    let changes = option.starts_with("release_agent=") || option.starts_with("cpuset_v2_mode");
    !(OTHER.contains(&option) || changes)
}

impl Hierarchy {
    fn name(&self) -> &str {
        self.point.file_name().and_then(|name| name.to_str()).unwrap_or("cgroup")
    }

    /// A new mount of it; where that is refused, the own directory.
    fn make(&self, own: &str) -> Result<OwnedFd> {
        let options: Vec<_> = self.options.clone();
        match new_file_system(&self.kind, &options) {
            Err(error) if matches!(error.errno, Some(Errno::EPERM | Errno::EBUSY)) => {
                self.bind(own).map_err(|_| error)
            }
            made => made,
        }
    }

    fn bind(&self, own: &str) -> Result<OwnedFd> {
        let below = self.own(own).strip_prefix(&self.root).unwrap_or(Path::new("")).to_owned();
        copy_tree(&self.point.join(below))
    }

    /// Our directory in it, by /proc/self/cgroup: `4:memory:/some/where` or `0::/some/where`.
    fn own<'a>(&self, own: &'a str) -> &'a Path {
        let line = own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let same = match self.kind.as_str() {
                "cgroup2" => controllers.is_empty(),
                _ => self.options.iter().any(|o| controllers.split(',').any(|c| c == o)),
            };
            same.then_some(path)
        });
        Path::new(line.unwrap_or("/"))
    }
}
