//! Catalogue: not needed to understand the chapter.
//!
//! What a file is besides its data: owner, mode, attributes, times.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use ch01_clone::{Context, IdRange, Result};
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmod, fchmodat, futimens, utimensat};
use nix::unistd::{Gid, Uid, fchownat};
use rustix::fs::{XattrFlags, lsetxattr};
use tar::EntryType;

use crate::apply::Applier;
use crate::entry::Entry;
use crate::whiteout;

impl Applier<'_> {
    /// Owner, mode, attributes and times of what can be opened. The order matters:
    /// a change of owner clears set-uid bits and capabilities.
    pub(crate) fn inode(&mut self, entry: &Entry, name: &OsStr, fd: BorrowedFd<'_>) -> Result<()> {
        self.own(entry, name)?;
        let mode = entry.mode()?;
        fchmod(fd, Mode::from_bits_truncate(mode)).call(|| format!("fchmod({mode:o})"))?;
        self.extended(entry, name)?;
        let time = entry.modified()?;
        futimens(fd, &time, &time).call(|| "futimens")
    }

    /// The same for what cannot, or should not, be opened: links, devices, FIFOs.
    pub(crate) fn attributes(&mut self, entry: &Entry, name: &OsStr) -> Result<()> {
        self.own(entry, name)?;
        if entry.kind() != EntryType::Symlink {
            let mode = Mode::from_bits_truncate(entry.mode()?);
            fchmodat(self.place(), name, mode, FchmodatFlags::NoFollowSymlink)
                .call(|| format!("fchmodat({mode:?})"))?;
        }
        self.extended(entry, name)?;
        let time = entry.modified()?;
        utimensat(self.place(), name, &time, &time, UtimensatFlags::NoFollowSymlink)
            .call(|| "utimensat")
    }

    fn own(&mut self, entry: &Entry, name: &OsStr) -> Result<()> {
        let (uid, gid) = entry.owner()?;
        let known = |ids: &[IdRange], id: u32| {
            ids.iter().any(|range| id >= range.inside && id - range.inside < range.count)
        };
        let (has_uid, has_gid) = (known(&self.ids.uids, uid), known(&self.ids.gids, gid));
        self.summary.owners_flattened += u64::from(!has_uid || !has_gid);
        let uid = Uid::from_raw(if has_uid { uid } else { 0 });
        let gid = Gid::from_raw(if has_gid { gid } else { 0 });
        fchownat(self.place(), name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
            .call(|| format!("fchownat({uid}, {gid})"))
    }

    fn extended(&mut self, entry: &Entry, name: &OsStr) -> Result<()> {
        for (key, value) in entry.attributes() {
            if whiteout::is_private_attribute(key) {
                continue;
            }
            // There is no call with a descriptor and a name; this comes to the
            // same, and does not follow the name.
            let dir = Path::new("/proc/self/fd").join(self.place().as_raw_fd().to_string());
            match lsetxattr(dir.join(name), key, value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(rustix::io::Errno::PERM | rustix::io::Errno::OPNOTSUPP) => {
                    self.summary.attributes_skipped += 1;
                }
                Err(errno) => {
                    return Err(std::io::Error::from(errno)).call(|| format!("lsetxattr({key:?})"));
                }
            }
        }
        Ok(())
    }
}
