//! Paths that are hidden, and paths that can only be read.
//!
//! /proc and /sys show the machine, not the container, and some of their files
//! act on it. What can do harm gets something harmless mounted over it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use ch01_clone::{Result, step};
use nix::errno::Errno;
use nix::sys::stat::makedev;

use crate::devices::host_device;
use crate::mount::{self, Attributes};
use crate::root::{self, Root};

/// Hidden in every container unless its configuration says otherwise, as with Docker.
pub const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Read-only in every container unless its configuration says otherwise, as with Docker.
pub const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Hides some paths of the root and makes others read-only. What is not there needs neither.
pub fn mask(root: &Root, masked: &[PathBuf], read_only: &[PathBuf]) -> Result<()> {
    let (hidden, frozen) = (masked.len(), read_only.len());
    step!(
        "mask",
        "/proc and /sys tell of the machine and act on it. What could do harm gets \
         an empty thing mounted over it, or becomes read-only.",
        "grep -E ' /(proc|sys)/' /proc/PID/mountinfo",
        "move_mount(/dev/null or an empty tmpfs) on {hidden} paths, read-only on {frozen}",
        mask_now(root, masked, read_only),
    )
}

fn mask_now(root: &Root, masked: &[PathBuf], read_only: &[PathBuf]) -> Result<()> {
    // The host's own /dev/null, known by its number: one from the container's
    // root could be a link to anything (CVE-2025-31133).
    let null = host_device(Path::new("/dev/null"), makedev(1, 3))?;
    let mut empty: Option<OwnedFd> = None;
    for path in masked {
        let Some(place) = existing(root, path)? else { continue };
        // ANCHOR: cover
        let cover = if root::stat(&place)?.st_mode & libc::S_IFMT != libc::S_IFDIR {
            mount::copy_handle(&null)?
        } else if let Some(empty) = &empty {
            mount::copy_handle(empty)?
        } else {
            let tmpfs = mount::new_file_system("tmpfs", &["size=0".into(), "nr_inodes=1".into()])?;
            mount::set_attributes(tmpfs.as_fd(), Attributes::DATA.read_only())?;
            tmpfs
        };
        mount::move_mount(cover.as_fd(), place.as_fd())?;
        // ANCHOR_END: cover
        if root::stat(&cover)?.st_mode & libc::S_IFMT == libc::S_IFDIR {
            empty.get_or_insert(cover);
        }
    }
    // ANCHOR: read-only
    for path in read_only {
        let Some(place) = existing(root, path)? else { continue };
        let same = mount::copy_below(&place)?;
        mount::freeze(same.as_fd())?;
        mount::move_mount(same.as_fd(), place.as_fd())?;
    }
    // ANCHOR_END: read-only
    Ok(())
}

fn existing(root: &Root, path: &Path) -> Result<Option<OwnedFd>> {
    match root.handle(path) {
        Err(error) if matches!(error.errno, Some(Errno::ENOENT | Errno::ENOTDIR)) => Ok(None),
        found => found.map(Some),
    }
}
