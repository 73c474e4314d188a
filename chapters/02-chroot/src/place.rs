//! Catalogue: not needed to understand the chapter.
//!
//! The place that something is mounted on, and places that are refused.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use crate::mount::path_of;
use crate::root::{self, Root};

/// Files of /proc that may be covered, as runc has it: they only tell of the
/// machine, and lxcfs(1) tells of the container instead.
const OF_PROC: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// The place for this mount: made where it is missing, of the same type as what comes there.
pub(crate) fn place(root: &Root, target: &Path, mount: BorrowedFd<'_>) -> Result<OwnedFd> {
    let directory = root::stat(mount)?.st_mode & libc::S_IFMT == libc::S_IFDIR;
    let end = end_of_links(root, target)?;
    let place = match directory {
        true => root.make_dir(end, 0o755)?,
        false => root.make_file(end)?,
    };
    let place_directory = root::stat(&place)?.st_mode & libc::S_IFMT == libc::S_IFDIR;
    if directory != place_directory {
        let kind = |directory| if directory { "a directory" } else { "a file" };
        let (what, there) = (kind(directory), kind(place_directory));
        return Err(Error::new(format!("{target:?}: {what} cannot be mounted on {there}")));
    }
    // Something else as /proc would fake what is read there, by us too (CVE-2019-19921).
    if is(target, "/proc") && !on_proc(mount)? {
        return Err(Error::new(format!(
            "{target:?} cannot be mounted because it is not of type proc"
        )));
    }
    // A volume over a part of /proc would let it lie to us and to others (CVE-2019-16884).
    if on_proc(&place)? && !(is(target, "/proc") || harmless(target, &place)) {
        return Err(Error::new(format!("{target:?} lies in /proc: nothing is mounted there")));
    }
    Ok(place)
}

/// Where a link leads whose end is not there yet: that is what is to be made. (In Debian
/// images /etc/resolv.conf is such a link, and something is mounted on it.)
fn end_of_links(root: &Root, target: &Path) -> Result<PathBuf> {
    let mut path = target.to_owned();
    // As many as the kernel follows (path_resolution(7)).
    for _ in 0..40 {
        if root.handle(&path).is_ok() {
            return Ok(path);
        }
        let Ok(last) = root.lookup(&path, OFlag::O_PATH | OFlag::O_NOFOLLOW) else {
            return Ok(path);
        };
        let link = readlinkat(&last, "").call(|| format!("readlinkat({path:?})"))?;
        path = path.parent().unwrap_or(Path::new("/")).join(link);
    }
    Err(Error::os(format!("{target:?}"), Errno::ELOOP))
}

/// The place of a proc or sysfs.
pub(crate) fn kernels_place(root: &Root, target: &Path) -> Result<OwnedFd> {
    // An image in which /proc is a link could have it mounted where it
    // is not looked for, and then fake what we read of it (CVE-2019-19921).
    let last = root.lookup(target, OFlag::O_PATH | OFlag::O_NOFOLLOW);
    if last.is_ok_and(|handle| root::is_link(handle).unwrap_or(true)) {
        return Err(Error::new(format!("{target:?} is a symbolic link in this root")));
    }
    root.make_dir(target, 0o755)
}

fn on_proc(handle: impl AsFd) -> Result<bool> {
    Ok(fstatfs(handle).call(|| "fstatfs")?.filesystem_type() == PROC_SUPER_MAGIC)
}

/// Whether a target is this path, whatever its slashes and dots.
pub(crate) fn is(target: &Path, path: &str) -> bool {
    let plain: PathBuf = Path::new("/").join(target).components().collect();
    plain == Path::new(path)
}

/// One of the files that may be covered: it says so, and the handle leads there.
fn harmless(target: &Path, place: &OwnedFd) -> bool {
    let Some(name) = OF_PROC.iter().find(|name| is(target, name)) else { return false };
    std::fs::read_link(path_of(place)).is_ok_and(|found| {
        // /proc/net is a link to the reader's own.
        let end = if name.contains("/net/") { "/net/dev" } else { name };
        found.to_string_lossy().ends_with(end)
    })
}
