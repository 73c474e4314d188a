//! A /sys that shows the lab's network, not the machine's.

use std::os::fd::AsFd;
use std::path::Path;

use ch01_clone::{Context, Result};
use ch02_chroot::mount::{copy_tree, move_mount};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

const CGROUPS: &str = "/sys/fs/cgroup";

/// Mounts it. The cgroups lie in /sys: they come along.
pub(super) fn own_sys() -> Result<()> {
    let cgroups = copy_tree(Path::new(CGROUPS))?;
    super::mount_over("sysfs", Path::new("/sys"), "")?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let place = open(CGROUPS, flags, Mode::empty()).call(|| format!("open({CGROUPS})"))?;
    move_mount(cgroups.as_fd(), place.as_fd())
}
