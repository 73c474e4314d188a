//! Catalogue: not needed to understand the chapter.
//!
//! From a directory to an archive: the same tree always gives the same bytes.
//!
//! Names come in order, no owner's name is looked up, and what a header has no
//! room for (long names, parts of seconds, attributes, holes) is said in PAX records.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Result};
use ch02_chroot::{Root, root};
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, major, minor};
use rustix::fs::{lgetxattr, llistxattr};
use tar::{Builder, EntryType, Header};

use crate::data::{Exactly, Pieces, pieces};
use crate::{moving, trees, whiteout};

/// Writes what lies below `dir` as a tar archive. Other file systems that are
/// mounted there appear as empty directories, and so does `leave_out`.
pub fn write(dir: &Path, leave_out: &Path, to: impl Write) -> Result<()> {
    let root = Root::open(dir)?;
    let top = root::stat(&root)?;
    let other = root::stat(Root::open(leave_out)?)?;
    let mut writer = Writer {
        root,
        device: top.st_dev,
        leave_out: (other.st_dev, other.st_ino),
        builder: Builder::new(to),
        links: HashMap::new(),
    };
    writer.node(Path::new(""), &top)?;
    writer.builder.finish().map_err(|error| moving("writing the archive", error))
}

struct Writer<W: Write> {
    root: Root,
    device: u64,
    leave_out: (u64, u64),
    builder: Builder<W>,
    /// Where a file of several names was met first.
    links: HashMap<u64, PathBuf>,
}

type Records = Vec<(String, Vec<u8>)>;

impl<W: Write> Writer<W> {
    fn node(&mut self, path: &Path, stat: &FileStat) -> Result<()> {
        let mut header = header(stat);
        let mut records = vec![("mtime".to_owned(), time(stat).into_bytes())];
        let parent = self.directory(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().unwrap_or(OsStr::new("."));
        let kind = whiteout::kind(stat).bits();
        if kind == libc::S_IFREG && stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&stat.st_ino) {
                header.set_entry_type(EntryType::Link);
                link(&mut header, &mut records, first.as_os_str());
                return self.append(header, path, records, std::io::empty());
            }
            self.links.insert(stat.st_ino, path.to_owned());
        }
        attributes(&parent, name, &mut records)?;
        match kind {
            libc::S_IFDIR => {
                header.set_entry_type(EntryType::Directory);
                self.append(header, &path.join(""), records, std::io::empty())?;
                drop(parent);
                self.below(path, stat)
            }
            libc::S_IFREG => self.file(header, path, records, &parent, name, stat),
            libc::S_IFLNK => {
                header.set_entry_type(EntryType::Symlink);
                let target = readlinkat(&parent, name).call(|| format!("readlinkat({path:?})"))?;
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

    fn below(&mut self, path: &Path, stat: &FileStat) -> Result<()> {
        if stat.st_dev != self.device || (stat.st_dev, stat.st_ino) == self.leave_out {
            return Ok(());
        }
        let dir = self.directory(path)?;
        let mut names = Vec::new();
        trees::each_name(&dir, |name| {
            names.push(name.to_owned());
            Ok(())
        })?;
        names.sort();
        let stats: Vec<(OsString, Option<FileStat>)> = names
            .into_iter()
            .map(|name| whiteout::look(&dir, &name).map(|stat| (name, stat)))
            .collect::<Result<_>>()?;
        drop(dir);
        for (name, stat) in stats {
            // What went away meanwhile was never there.
            stat.map_or(Ok(()), |stat| self.node(&path.join(name), &stat))?;
        }
        Ok(())
    }

    fn directory(&self, path: &Path) -> Result<OwnedFd> {
        self.root.lookup(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
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

fn header(stat: &FileStat) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    // Before 1970 the record alone says it.
    header.set_mtime(stat.st_mtime.try_into().unwrap_or(0));
    header.set_size(0);
    header
}

fn time(stat: &FileStat) -> String {
    match (stat.st_mtime, stat.st_mtime_nsec) {
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

fn attributes(parent: &OwnedFd, name: &OsStr, records: &mut Records) -> Result<()> {
    let path = Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(name);
    let io = |errno: rustix::io::Errno| {
        Err(std::io::Error::from(errno)).call(|| format!("llistxattr({name:?})"))
    };
    let mut list = vec![0; 64 << 10];
    let length = match llistxattr(&path, &mut list[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
        Err(errno) => return io(errno),
    };
    for key in list[..length].split(|&byte| byte == 0).filter(|key| !key.is_empty()) {
        // The host's labels are not the image's.
        let Ok(key) = std::str::from_utf8(key) else { continue };
        if key.starts_with("security.selinux") || key.starts_with("system.") {
            continue;
        }
        if whiteout::is_private_attribute(OsStr::new(key)) {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        match lgetxattr(&path, key, &mut value[..]) {
            Ok(length) => value.truncate(length),
            Err(rustix::io::Errno::NODATA) => continue,
            Err(errno) => return io(errno),
        }
        records.push((format!("SCHILY.xattr.{key}"), value));
    }
    Ok(())
}
