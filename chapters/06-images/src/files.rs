//! Catalogue: not needed to understand the chapter.
//!
//! A file of an archive, with its data.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;

use ch01_clone::{Context, Error, Result};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::apply::Applier;
use crate::entries::Entries;
use crate::entry::Entry;

impl Applier<'_> {
    pub(crate) fn file(
        &mut self,
        entry: &Entry,
        name: &OsStr,
        data: &mut Entries<impl Read>,
    ) -> Result<()> {
        self.space.take(entry.size)?;
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let file = self.make(name, "openat", |dir| openat(dir, name, flags, mode))?;
        let mut file = File::from(file);
        match &entry.sparse {
            None => self.copy(data, &mut file, entry.size)?,
            Some((length, pieces)) => {
                for piece in pieces {
                    file.seek(SeekFrom::Start(piece.offset)).call(|| "lseek")?;
                    self.copy(data, &mut file, piece.length)?;
                }
                file.set_len(*length).call(|| format!("ftruncate({length})"))?;
            }
        }
        self.inode(entry, name, file.as_fd())
    }

    fn copy(&mut self, data: &mut Entries<impl Read>, to: &mut File, mut left: u64) -> Result<()> {
        while left > 0 {
            let most = left.min(self.buffer.len() as u64) as usize;
            match data.read(&mut self.buffer[..most])? {
                0 => return Err(Error::new("less data than its header says")),
                got => {
                    to.write_all(&self.buffer[..got]).call(|| "write")?;
                    left -= got as u64;
                }
            }
        }
        Ok(())
    }
}
