//! Catalogue: not needed to understand the chapter.
//!
//! A file's data on its way into an archive: without its holes, and as much as its
//! header has promised.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use ch01_clone::{Context, Error, Result};
use nix::unistd::{Whence, lseek};

/// Where a file has data: offset and length of each piece.
pub(crate) fn pieces(file: &File, size: i64) -> Result<Vec<(u64, u64)>> {
    let (mut pieces, mut end) = (Vec::new(), 0);
    while end < size {
        let start = match lseek(file, end, Whence::SeekData) {
            Err(nix::errno::Errno::ENXIO) => break,
            start => start.call(|| "lseek(SEEK_DATA)")?,
        };
        end = lseek(file, start, Whence::SeekHole).call(|| "lseek(SEEK_HOLE)")?.min(size);
        if start >= end {
            break;
        }
        pieces.push((start as u64, (end - start) as u64));
    }
    // Where the end is a hole, tar(1) wants it said.
    if pieces.last().is_none_or(|(offset, length)| offset + length < size as u64) {
        pieces.push((size as u64, 0));
    }
    Ok(pieces)
}

/// Reads the pieces of a file, one after the other.
pub(crate) struct Pieces {
    pub(crate) file: File,
    pub(crate) pieces: Vec<(u64, u64)>,
    /// How much of the first piece has been read.
    pub(crate) done: u64,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let Some(&(offset, length)) = self.pieces.first() else { return Ok(0) };
        self.file.seek(SeekFrom::Start(offset + self.done))?;
        let most = (length - self.done).min(buffer.len() as u64) as usize;
        let got = self.file.read(&mut buffer[..most])?;
        if got == 0 && most > 0 {
            return Err(std::io::Error::other(changed()));
        }
        self.done += got as u64;
        if self.done == length {
            self.pieces.remove(0);
            self.done = 0;
        }
        Ok(got)
    }
}

/// Reads as much as was promised, or fails: else data would be taken for headers.
pub(crate) struct Exactly(pub(crate) std::io::Take<File>);

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.0.read(buffer)?;
        match got == 0 && !buffer.is_empty() && self.0.limit() > 0 {
            true => Err(std::io::Error::other(changed())),
            false => Ok(got),
        }
    }
}

fn changed() -> Error {
    Error::new("it became shorter while it was read")
}
