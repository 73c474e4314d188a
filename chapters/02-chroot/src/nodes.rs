//! Catalogue: not needed to understand the chapter.
//!
//! Devices that a configuration adds to the default ones (OCI config-linux.md, "Devices").

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result, step};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{SFlag, makedev};
use nix::unistd::{Gid, Uid, fchownat};

use crate::devices::in_user_namespace;
use crate::mount::{copy_handle, move_mount};
use crate::root::{self, Root};

/// A device, or a named pipe.
#[derive(Debug, Clone)]
pub struct Device {
    /// Where, inside the root.
    pub path: PathBuf,
    /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`.
    pub kind: SFlag,
    /// Major and minor number; of no meaning for a pipe.
    pub number: (u64, u64),
    /// Its permissions.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl Device {
    /// Makes it, unless something is there. Where nobody may make devices, the
    /// host's of the same path is bound.
    pub fn make(&self, root: &Root) -> Result<()> {
        let (path, (major, minor)) = (&self.path, self.number);
        step!(
            "device",
            "A device that the configuration asks for beside the six that all have.",
            "ls -l /proc/PID/root/dev",
            "mknod({path:?}, {major}:{minor})",
            self.make_now(root),
        )
    }

    fn make_now(&self, root: &Root) -> Result<()> {
        if self.kind != SFlag::S_IFIFO && in_user_namespace() {
            return self.bind(root);
        }
        let number = makedev(self.number.0, self.number.1);
        match root.make_device(&self.path, self.kind, self.mode, number) {
            Err(error) if error.errno == Some(Errno::EPERM) => self.bind(root),
            Err(error) => Err(error),
            Ok(()) => self.give(root),
        }?;
        match self.is(&root::stat(root.handle(&self.path)?)?) {
            true => Ok(()),
            false => Err(Error::new(format!("{:?}: something else is there already", self.path))),
        }
    }

    fn give(&self, root: &Root) -> Result<()> {
        if (self.uid, self.gid) == (0, 0) {
            return Ok(());
        }
        let made = root.lookup(&self.path, OFlag::O_PATH | OFlag::O_NOFOLLOW)?;
        // Something that was there already is not ours to give.
        if !self.is(&root::stat(&made)?) {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        fchownat(&made, "", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH)
            .call(|| format!("fchownat({:?})", self.path))
    }

    fn bind(&self, root: &Root) -> Result<()> {
        let path = Path::new("/").join(&self.path);
        let host = Root::open(Path::new("/"))?.handle(&path)?;
        if !self.is(&root::stat(&host)?) {
            return Err(Error::new(format!("{path:?} of the host is not the device asked for"))
                .hint("in a user namespace devices are bound, and not made"));
        }
        move_mount(copy_handle(&host)?.as_fd(), root.make_file(&self.path)?.as_fd())
    }

    fn is(&self, stat: &nix::sys::stat::FileStat) -> bool {
        let kind = SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT);
        kind == self.kind
            && (kind == SFlag::S_IFIFO || stat.st_rdev == makedev(self.number.0, self.number.1))
    }
}
