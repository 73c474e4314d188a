//! Catalogue: not needed to understand the chapter.
//!
//! One member of an archive after the other, written: what a header has no room for
//! (long names, parts of seconds, attributes, holes) is said in PAX records.

mod attributes;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Result};
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, major, minor};
use tar::{Builder, EntryType, Header};

use self::attributes::attributes;
use crate::data::{Exactly, Pieces, pieces};
use crate::{moving, whiteout};

/// An archive that is written.
pub(crate) struct Members<W: Write> {
    builder: Builder<W>,
    /// Times after this one, in seconds since 1970, become it.
    latest: Option<i64>,
    /// Where a file of several names was met first.
    links: HashMap<(u64, u64), PathBuf>,
}

/// What a member of no file of its own has: permissions, owner, group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owned {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// In seconds since 1970.
    pub(crate) time: i64,
}

/// PAX records: keys and values.
pub(crate) type Records = Vec<(String, Vec<u8>)>;

impl<W: Write> Members<W> {
    pub(crate) fn new(to: W, latest: Option<i64>) -> Self {
        Self { builder: Builder::new(to), latest, links: HashMap::new() }
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        self.builder.finish().map_err(|error| moving("writing the archive", error))
    }

    /// Writes what `name` in `parent` is, a directory without what it holds. It is called
    /// `path` in the archive, and has owner, mode and time as `stat` says.
    pub(crate) fn add(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        stat: &FileStat,
        path: &Path,
    ) -> Result<()> {
        let (seconds, nanos) = self.time(stat.st_mtime, stat.st_mtime_nsec);
        let owned = Owned {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            time: seconds,
        };
        let mut header = header(&owned);
        let mut records = vec![("mtime".to_owned(), text(seconds, nanos).into_bytes())];
        let kind = whiteout::kind(stat).bits();
        if kind == libc::S_IFREG
            && stat.st_nlink > 1
            && let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino))
        {
            header.set_entry_type(EntryType::Link);
            link(&mut header, &mut records, first.as_os_str());
            return self.append(header, path, records, std::io::empty());
        }
        attributes(parent, name, &mut records)?;
        match kind {
            libc::S_IFDIR => {
                header.set_entry_type(EntryType::Directory);
                self.append(header, &path.join(""), records, std::io::empty())
            }
            libc::S_IFREG => self.file(header, path, records, parent, name, stat),
            libc::S_IFLNK => {
                header.set_entry_type(EntryType::Symlink);
                let target = readlinkat(parent, name).call(|| format!("readlinkat({path:?})"))?;
                link(&mut header, &mut records, &target);
                self.append(header, path, records, std::io::empty())
            }
            libc::S_IFIFO => {
                header.set_entry_type(EntryType::Fifo);
                self.append(header, path, records, std::io::empty())
            }
            libc::S_IFCHR | libc::S_IFBLK => {
                let char = kind == libc::S_IFCHR;
                header.set_entry_type(if char { EntryType::Char } else { EntryType::Block });
                let number = |result: std::io::Result<()>| result.map_err(|e| moving("tar", e));
                number(header.set_device_major(major(stat.st_rdev) as u32))?;
                number(header.set_device_minor(minor(stat.st_rdev) as u32))?;
                self.append(header, path, records, std::io::empty())
            }
            // A socket means nothing without the process that listens on it.
            _ => Ok(()),
        }
    }

    /// Writes a directory that is made up.
    pub(crate) fn directory(&mut self, path: &Path, owned: &Owned) -> Result<()> {
        let mut header = header(owned);
        header.set_entry_type(EntryType::Directory);
        self.made_up(header, &path.join(""), owned, b"")
    }

    /// Writes a file that is made up.
    pub(crate) fn text(&mut self, path: &Path, owned: &Owned, content: &[u8]) -> Result<()> {
        let mut header = header(owned);
        header.set_size(content.len() as u64);
        self.made_up(header, path, owned, content)
    }

    fn made_up(
        &mut self,
        mut header: Header,
        path: &Path,
        owned: &Owned,
        data: &[u8],
    ) -> Result<()> {
        let (seconds, nanos) = self.time(owned.time, 0);
        header.set_mtime(seconds.try_into().unwrap_or(0));
        let records = vec![("mtime".to_owned(), text(seconds, nanos).into_bytes())];
        self.append(header, path, records, data)
    }

    fn time(&self, seconds: i64, nanos: i64) -> (i64, i64) {
        match self.latest {
            Some(latest) if seconds >= latest => (latest, 0),
            _ => (seconds, nanos),
        }
    }

    fn file(
        &mut self,
        mut header: Header,
        path: &Path,
        mut records: Records,
        parent: &OwnedFd,
        name: &OsStr,
        stat: &FileStat,
    ) -> Result<()> {
        // Not even if a FIFO were put in its place meanwhile would this wait.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(parent, name, flags, Mode::empty());
        let mut file = File::from(file.call(|| format!("openat({path:?})"))?);
        if stat.st_nlink > 1 {
            self.links.insert((stat.st_dev, stat.st_ino), path.to_owned());
        }
        let length = stat.st_size as u64;
        if stat.st_blocks * 512 >= stat.st_size {
            header.set_size(length);
            return self.append(header, path, records, Exactly(file.take(length)));
        }
        let pieces = pieces(&file, stat.st_size)?;
        let mut map = format!("{}\n", pieces.len());
        pieces.iter().for_each(|(offset, length)| map += &format!("{offset}\n{length}\n"));
        let mut map = map.into_bytes();
        map.resize(map.len().next_multiple_of(512), 0);
        let records_of_it = [("major", "1"), ("minor", "0"), ("realsize", &length.to_string())];
        records
            .extend(records_of_it.map(|(key, value)| (format!("GNU.sparse.{key}"), value.into())));
        records.push(("GNU.sparse.name".into(), path.as_os_str().as_bytes().to_owned()));
        header.set_size(map.len() as u64 + pieces.iter().map(|(_, length)| length).sum::<u64>());
        file.seek(SeekFrom::Start(0)).call(|| "lseek")?;
        let data = Cursor::new(map).chain(Pieces { file, pieces, done: 0 });
        self.append(header, path, records, data)
    }

    fn append(
        &mut self,
        mut header: Header,
        path: &Path,
        mut records: Records,
        data: impl Read,
    ) -> Result<()> {
        let path = if path.as_os_str().is_empty() { Path::new("./") } else { path };
        let bytes = path.as_os_str().as_bytes();
        let field = &mut header.as_old_mut().name;
        let short = bytes.len().min(field.len());
        field[..short].copy_from_slice(&bytes[..short]);
        if short < bytes.len() {
            records.push(("path".to_owned(), bytes.to_owned()));
        }
        records.sort();
        let io = |error| moving(&format!("{path:?} into the archive"), error);
        let records = records.iter().map(|(key, value)| (&**key, &**value));
        self.builder.append_pax_extensions(records).map_err(io)?;
        header.set_cksum();
        self.builder.append(&header, data).map_err(io)
    }
}

fn header(owned: &Owned) -> Header {
    // PAX records belong to this kind: in one of GNU's own tar(1) overlooks those of holes.
    let mut header = Header::new_ustar();
    header.set_mode(owned.mode);
    header.set_uid(owned.uid.into());
    header.set_gid(owned.gid.into());
    // Before 1970 the record alone says it.
    header.set_mtime(owned.time.try_into().unwrap_or(0));
    header.set_size(0);
    header
}

fn text(seconds: i64, nanos: i64) -> String {
    match (seconds, nanos) {
        (seconds, 0) => seconds.to_string(),
        (seconds @ 0.., nanos) => format!("{seconds}.{nanos:09}"),
        (seconds, nanos) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanos),
    }
}

fn link(header: &mut Header, records: &mut Records, target: &OsStr) {
    if header.set_link_name_literal(target.as_bytes()).is_err() {
        records.push(("linkpath".to_owned(), target.as_bytes().to_owned()));
    }
}
