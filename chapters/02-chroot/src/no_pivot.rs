//! Catalogue: not needed to understand the chapter.
//!
//! A root without pivot_root(2), where the old one cannot be put away: an initial
//! ramfs lies below all other mounts, and a directory that somebody is merely chrooted
//! into is no mount at all. So the new root is moved over the old one, and entered by chroot(2).
//!
//! It is the weaker way: what the host had mounted is still there, below. As runc's
//! `--no-pivot`, it takes away at least each proc and sysfs, which are more of the
//! host's than a container's own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;

use ch01_clone::{Context, Error, Result, step};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, chroot, fchdir};

use crate::root::Root;

/// The new root becomes `/`, over the old one, which stays.
pub fn move_over(root: &Root) -> Result<()> {
    step!(
        "chroot",
        "The old root is one that cannot be put away. The new one is moved over it, and \
         becomes / for this process and its children; what the host had mounted stays below.",
        "ls /proc/PID/root/",
        "fchdir(root), mount(\".\", \"/\", MS_MOVE), chroot(\".\")",
        hide_kernel_files(root).and_then(|()| move_in(root).call(|| "mount(MS_MOVE), chroot")),
    )
}

fn move_in(root: &Root) -> nix::Result<()> {
    fchdir(root)?;
    match mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>) {
        // A root that was opened before the clone lies there already.
        Ok(()) | Err(Errno::ELOOP) => {}
        Err(errno) => return Err(errno),
    }
    chroot(".")?;
    chdir("/")
}

/// Takes away the proc and sysfs that are mounted outside of the new root.
fn hide_kernel_files(root: &Root) -> Result<()> {
    let path = "/proc/self/mountinfo";
    let text = fs::read_to_string(path).call(|| format!("read({path})"))?;
    let mounts: Vec<_> = text.lines().filter_map(Line::parse).collect();
    let ours = mount_id(root)?;
    // What came later may lie upon what came earlier.
    for line in mounts.iter().rev() {
        let kernels = line.kind == "proc" || line.kind == "sysfs";
        if kernels && !line.is_below(&ours, &mounts) {
            hide(&line.place())?;
        }
    }
    Ok(())
}

fn hide(place: &OsStr) -> Result<()> {
    match umount2(place, MntFlags::MNT_DETACH) {
        // In a user namespace it is locked: then it is covered.
        Err(Errno::EINVAL | Errno::EPERM) => {
            let (tmpfs, flags) = (Some("tmpfs"), MsFlags::MS_RDONLY);
            mount(tmpfs, place, tmpfs, flags, None::<&str>)
                .call(|| format!("mount(tmpfs, {place:?})"))
        }
        // It has gone with the one that it lay upon.
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(Error::os(format!("umount2({place:?}, MNT_DETACH)"), errno)),
    }
}

/// The number of the mount that a handle is in (proc_pid_fdinfo(5)).
fn mount_id(root: &Root) -> Result<String> {
    let path = format!("/proc/self/fdinfo/{}", root.as_fd().as_raw_fd());
    let text = fs::read_to_string(&path).call(|| format!("read({path})"))?;
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    id.map(|id| id.trim().to_owned()).ok_or_else(|| Error::new(format!("{path}: no mnt_id")))
}

/// A line of mountinfo (proc_pid_mountinfo(5)), as far as it matters here.
struct Line<'a> {
    id: &'a str,
    parent: &'a str,
    place: &'a str,
    kind: &'a str,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (own, file_system) = line.split_once(" - ")?;
        let mut own = own.split(' ');
        let (id, parent, place) = (own.next()?, own.next()?, own.nth(2)?);
        Some(Self { id, parent, place, kind: file_system.split(' ').next()? })
    }

    /// Whether it is the mount `top`, or mounted somewhere in it.
    fn is_below(&self, top: &str, all: &[Line<'_>]) -> bool {
        let parent = || all.iter().find(|other| other.id == self.parent && other.id != self.id);
        self.id == top || parent().is_some_and(|parent| parent.is_below(top, all))
    }

    /// Where it is mounted; a space is written `\040`.
    fn place(&self) -> OsString {
        let mut bytes = Vec::new();
        let mut rest = self.place.as_bytes();
        while let [first, after @ ..] = rest {
            let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
            let escaped = digits.filter(|_| *first == b'\\').map(|d| u8::from_str_radix(d, 8));
            rest = match escaped {
                Some(Ok(byte)) => {
                    bytes.push(byte);
                    &after[3..]
                }
                _ => {
                    bytes.push(*first);
                    after
                }
            };
        }
        OsString::from_vec(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const MOUNTS: &str = "\
20 1 0:1 / / rw - ramfs rootfs rw
21 20 0:5 / /proc rw,nosuid - proc proc rw
22 20 0:6 / /a\\040b\\134 rw shared:3 - sysfs sysfs rw
30 20 0:7 / / rw - tmpfs root rw
31 30 0:5 / /proc rw - proc proc rw
32 31 0:5 /sys /proc/sys ro - proc proc rw
";

    #[test]
    fn what_lies_in_the_new_root_is_told_from_what_lies_below() {
        let mounts: Vec<_> = MOUNTS.lines().filter_map(Line::parse).collect();
        let below: Vec<_> = mounts.iter().filter(|l| l.is_below("30", &mounts)).collect();
        assert_eq!(below.iter().map(|line| line.id).collect::<Vec<_>>(), ["30", "31", "32"]);
        assert_eq!(mounts[2].place(), OsStr::new("/a b\\"));
        assert_eq!((mounts[1].kind, Path::new(&mounts[1].place())), ("proc", Path::new("/proc")));
    }
}
