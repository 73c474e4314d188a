//! Catalogue: not needed to understand the chapter.
//!
//! One entry of an archive, and what it says of itself.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ch01_clone::{Error, Result};
use nix::sys::time::TimeSpec;
use tar::{EntryType, Header};

use crate::moving;
use crate::records::{Records, find, number, seconds};
use crate::sparse::Piece;

/// One entry: a header, and the records that belong to it.
pub struct Entry {
    pub(crate) header: Header,
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) records: Records,
    /// How many bytes of data there are in the archive.
    pub size: u64,
    /// How long the file is, and where its pieces lie, if it has holes.
    pub sparse: Option<(u64, Vec<Piece>)>,
}

impl Entry {
    /// What it is.
    pub fn kind(&self) -> EntryType {
        match self.header.entry_type() {
            // So said archives before there was a type for it.
            EntryType::Regular if self.name.ends_with(b"/") && self.header.as_bytes()[156] == 0 => {
                EntryType::Directory
            }
            EntryType::Continuous | EntryType::GNUSparse => EntryType::Regular,
            kind => kind,
        }
    }

    pub(crate) fn is_file(&self) -> bool {
        use EntryType::{Block, Char, Directory, Fifo, Link, Symlink};
        ![Block, Char, Directory, Fifo, Link, Symlink].contains(&self.kind())
    }

    /// Its place in the tree, relative, without `.` and `..`; empty for the root itself.
    pub fn path(&self) -> Result<PathBuf> {
        clean(&self.name)
    }

    /// Its name as it stands in the archive, for people.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// What a hard link is to: a place in the tree.
    pub fn link_path(&self) -> Result<PathBuf> {
        clean(&self.link)
    }

    /// What a symbolic link says: any text.
    pub fn link_text(&self) -> &OsStr {
        OsStr::from_bytes(&self.link)
    }

    /// Permissions, with set-uid, set-gid and sticky bits.
    pub fn mode(&self) -> Result<u32> {
        self.header.mode().map(|mode| mode & 0o7777).map_err(|e| moving("a tar header", e))
    }

    /// Owner and group.
    pub fn owner(&self) -> Result<(u32, u32)> {
        let field = |key, header: std::io::Result<u64>| {
            let id = match number(&self.records, key)? {
                Some(id) => id,
                None => header.map_err(|e| moving("a tar header", e))?,
            };
            // The last one means "leave as it is" to chown(2).
            let id = u32::try_from(id).ok().filter(|&id| id != u32::MAX);
            id.ok_or_else(|| Error::new(format!("{key} in a tar header is no id")))
        };
        Ok((field("uid", self.header.uid())?, field("gid", self.header.gid())?))
    }

    /// The device's number.
    pub fn device(&self) -> Result<u64> {
        let part = |part: std::io::Result<Option<u32>>| {
            part.map(Option::unwrap_or_default).map_err(|e| moving("a tar header", e))
        };
        let (major, minor) = (part(self.header.device_major())?, part(self.header.device_minor())?);
        Ok(nix::sys::stat::makedev(major.into(), minor.into()))
    }

    /// When it was changed.
    pub fn modified(&self) -> Result<TimeSpec> {
        match find(&self.records, "mtime") {
            Some(text) => seconds(text).ok_or_else(|| Error::new("mtime in a tar header")),
            // GNU writes times before 1970 in two's complement.
            None => Ok(TimeSpec::new(self.header.mtime().unwrap_or(0) as i64, 0)),
        }
    }

    /// Extended attributes, by name.
    pub fn attributes(&self) -> impl Iterator<Item = (&OsStr, &[u8])> {
        self.records.iter().filter_map(|(key, value)| {
            Some((OsStr::from_bytes(key.strip_prefix(b"SCHILY.xattr.")?), &**value))
        })
    }
}

/// A name becomes a place below the root. A leading `/` is dropped, as tar(1)
/// does; a `..` never has a good reason.
fn clean(name: &[u8]) -> Result<PathBuf> {
    let mut path = PathBuf::new();
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(Error::new("the name leads out of the tree")),
            part if part.contains(&0) => return Err(Error::new("a zero byte in a name")),
            part => path.push(Path::new(OsStr::from_bytes(part))),
        }
    }
    Ok(path)
}
