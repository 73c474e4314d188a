//! Catalogue: not needed to understand the chapter.
//!
//! How much may be written: what the disk has, less a reserve, and what the caller allows.
//!
//! Ten gigabytes of zeros fit into ten megabytes of gzip. So nothing is believed
//! that an archive says of itself; it is counted while it is written.

use std::os::fd::{AsFd, OwnedFd};

use ch01_clone::{Context, Error, Result};
use nix::errno::Errno;
use nix::sys::statvfs::fstatvfs;

/// What a caller allows; by default whatever fits on the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of file data in a layer.
    pub bytes: Option<u64>,
    /// Entries of a layer.
    pub entries: Option<u64>,
}

/// What is still allowed on one file system.
#[derive(Debug)]
pub struct Space {
    place: OwnedFd,
    limits: Limits,
    bytes: u64,
    entries: u64,
    /// What may be written before the disk is asked again.
    trusted_bytes: u64,
    trusted_entries: u64,
}

/// The disk is asked again at the latest after this much: others write there too.
const STRIDE: u64 = 64 << 20;

impl Space {
    /// The space where `place` lies.
    pub fn at(place: impl AsFd, limits: Limits) -> Result<Self> {
        let place = place.as_fd().try_clone_to_owned().call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
        let zero =
            Self { place, limits, bytes: 0, entries: 0, trusted_bytes: 0, trusted_entries: 0 };
        Ok(zero)
    }

    /// Asks for `bytes` more bytes, before they are written.
    pub fn take(&mut self, bytes: u64) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.limits.bytes.is_some_and(|most| self.bytes > most) {
            return Err(too_big(format!("more than {} bytes", self.limits.bytes.unwrap_or(0))));
        }
        if self.trusted_bytes < bytes {
            self.ask(bytes)?;
        }
        self.trusted_bytes = self.trusted_bytes.saturating_sub(bytes);
        Ok(())
    }

    /// Asks for one more file, directory or anything else with an inode.
    pub fn take_entry(&mut self) -> Result<()> {
        self.entries += 1;
        if self.limits.entries.is_some_and(|most| self.entries > most) {
            return Err(too_big(format!("more than {} entries", self.limits.entries.unwrap_or(0))));
        }
        if self.trusted_entries == 0 {
            self.ask(0)?;
        }
        self.trusted_entries -= 1;
        Ok(())
    }

    /// How much was asked for: bytes and entries.
    pub fn taken(&self) -> (u64, u64) {
        (self.bytes, self.entries)
    }

    /// The reserve, a hundredth of the disk, keeps the rest of the machine alive.
    fn ask(&mut self, bytes: u64) -> Result<()> {
        let disk = fstatvfs(&self.place).call(|| "fstatvfs")?;
        let reserve = (disk.blocks() / 100 * disk.fragment_size()).min(STRIDE);
        let free = disk.blocks_available() * disk.fragment_size();
        let room = free.saturating_sub(reserve);
        if room < bytes.max(1) {
            return Err(full(format!("{free} bytes are free, {reserve} of them in reserve")));
        }
        // Half of the way to the end, so that it is not overrun by what others write.
        self.trusted_bytes = (room / 2).min(STRIDE).max(bytes);
        self.trusted_entries = 10_000;
        // File systems that make inodes as they need them count none.
        if disk.files() > 0 {
            let reserve = (disk.files() / 100).min(1000);
            let room = disk.files_available().saturating_sub(reserve);
            if room == 0 {
                return Err(full(format!("{} inodes are free", disk.files_available())));
            }
            self.trusted_entries = (room / 2).clamp(1, 10_000);
        }
        Ok(())
    }
}

fn full(what: String) -> Error {
    Error::os(format!("no room for this image: {what}"), Errno::ENOSPC).hint(FREE)
}

fn too_big(what: String) -> Error {
    Error::new(format!("the layer has {what}, which is the limit"))
}

const FREE: &str = "remove images that are not needed, or choose another --root";

/// The kernel's own "no space" says what to try, too.
pub(crate) fn explain(error: Error) -> Error {
    match error.errno {
        Some(Errno::ENOSPC | Errno::EDQUOT) => error.hint(FREE),
        _ => error,
    }
}
