//! /dev: the few devices that every program expects, and nothing of the host's hardware.

use std::os::fd::AsFd;
use std::path::Path;

use ch01_clone::{Error, IdMaps, Result, step};
use nix::sys::stat::{SFlag, makedev};

use crate::mount::{self, Attributes, Mount};
use crate::root::{self, Root};

/// Character devices that hold no data: name, major, minor.
const DEVICES: [(&str, u64, u64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Names that programs expect beside them.
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "dev/fd"),
    ("/proc/self/fd/0", "dev/stdin"),
    ("/proc/self/fd/1", "dev/stdout"),
    ("/proc/self/fd/2", "dev/stderr"),
    ("pts/ptmx", "dev/ptmx"),
];

/// Fills the /dev of a root, where a tmpfs is mounted already.
pub fn fill(root: &Root) -> Result<()> {
    step!(
        "devices",
        "Six devices that hold no data, and the links that programs expect. In a \
         user namespace nobody may make devices: there the host's are bound.",
        "ls -l /proc/PID/root/dev",
        "mknod(/dev/null), mknod(/dev/zero), ...",
        fill_now(root),
    )
}

fn fill_now(root: &Root) -> Result<()> {
    // ANCHOR: fill
    let own = !in_user_namespace();
    for (name, major, minor) in DEVICES {
        let path = Path::new("dev").join(name);
        match own {
            true => root.make_device(&path, SFlag::S_IFCHR, 0o666, makedev(major, minor))?,
            false => bind_device(root, &path, makedev(major, minor))?,
        }
    }
    // ANCHOR_END: fill
    for (target, path) in LINKS {
        root.make_link(target, path)?;
    }
    Ok(())
}

// ANCHOR: bind-device
fn bind_device(root: &Root, path: &Path, number: u64) -> Result<()> {
    let device = host_device(&Path::new("/").join(path), number)?;
    let copy = mount::copy_handle(&device)?;
    mount::set_attributes(
        copy.as_fd(),
        Attributes { nosuid: true, noexec: true, ..Default::default() },
    )?;
    mount::move_mount(copy.as_fd(), root.make_file(path)?.as_fd())
}
// ANCHOR_END: bind-device

/// A device of the host's, if it is the one that its name promises.
pub fn host_device(path: &Path, number: u64) -> Result<std::os::fd::OwnedFd> {
    let device = Root::open(Path::new("/"))?.handle(path)?;
    let stat = root::stat(&device)?;
    let kind = stat.st_mode & libc::S_IFMT;
    match kind == libc::S_IFCHR && stat.st_rdev == number {
        true => Ok(device),
        false => Err(Error::new(format!("{path:?} is not the device of that name"))),
    }
}

/// Whether this process lives in a user namespace of its own: then it makes no devices.
pub fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mut ids = map.split_whitespace();
    (ids.next(), ids.next(), ids.next()) != (Some("0"), Some("0"), Some("4294967295"))
}

/// The group that owns terminals, by custom.
const TTY: u32 = 5;

/// The mounts that every container has: what the OCI runtime specification
/// calls the default file systems of Linux. `ids` are the maps of the user
/// namespace that it will live in: where there is no group 5, root owns terminals.
pub fn default_mounts(ids: &IdMaps) -> Vec<Mount> {
    let tty = format!("gid={}", if ids.has_group(TTY) { TTY } else { 0 });
    let nosuid = Attributes { nosuid: true, ..Attributes::default() };
    let pts = Attributes { nosuid: true, noexec: true, ..Attributes::default() };
    vec![
        // ANCHOR: default-mounts
        Mount::new("proc", "/proc", &[], Attributes::DATA),
        Mount::new("tmpfs", "/dev", &["mode=755", "size=65536k"], nosuid),
        Mount::new("devpts", "/dev/pts", &["newinstance", "ptmxmode=0666", "mode=0620", &tty], pts),
        Mount::new("tmpfs", "/dev/shm", &["mode=1777", "size=65536k"], Attributes::DATA),
        Mount::new("mqueue", "/dev/mqueue", &[], Attributes::DATA),
        Mount::new("sysfs", "/sys", &[], Attributes::DATA.read_only()),
        // ANCHOR_END: default-mounts
    ]
}
