//! Catalogue: not needed to understand the chapter.
//!
//! What an archive says, header by header.
//!
//! A tar archive is a row of 512-byte headers, each followed by the file's data.
//! What does not fit into a header comes before it, as an entry of its own: GNU's
//! long names, and PAX records (`30 mtime=1350244992.023960108`), which say
//! anything in any length.
//!
//! The headers are read by the `tar` crate; the row we walk ourselves. Records
//! are cut by their length: a value may hold any byte, a newline too, and who
//! loses a record after one (`size`, say) takes data for headers (CVE-2025-62518).
//! And what an archive makes us remember is bounded.

use std::io::Read;

use ch01_clone::{Error, Result};
use tar::{EntryType, Header};

use crate::entry::Entry;
use crate::moving;
use crate::records::{Records, find, number, parse};
use crate::sparse::check;

pub(crate) const BLOCK: usize = 512;

/// As docker's and containerd's reader takes (Go's archive/tar): far more than a path and
/// the attributes of a file need.
const MAX_RECORDS: u64 = 1 << 20;

/// The entries of an archive, and after each call of [`next`](Entries::next) its data.
pub struct Entries<R> {
    pub(crate) reader: R,
    /// Data of the current entry that was not read yet.
    left: u64,
    /// What fills its last block.
    padding: u64,
}

impl<R: Read> Entries<R> {
    /// The entries of a plain tar archive.
    pub fn new(reader: R) -> Self {
        Self { reader, left: 0, padding: 0 }
    }

    /// Reads on in the data of the current entry; 0 at its end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let wanted = self.left.min(buffer.len() as u64) as usize;
        if wanted == 0 {
            return Ok(0);
        }
        loop {
            match self.reader.read(&mut buffer[..wanted]) {
                Ok(0) => return Err(Error::new("the archive ends in the middle of a file")),
                Ok(got) => {
                    self.left -= got as u64;
                    return Ok(got);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(moving("reading the archive", error)),
            }
        }
    }

    /// The next entry; `None` at the end.
    #[expect(clippy::should_implement_trait, reason = "between two calls the data is read")]
    pub fn next(&mut self) -> Result<Option<Entry>> {
        let (mut name, mut link, mut records) = (None, None, Vec::new());
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.entry_size().map_err(|e| moving("a tar header", e))?;
            match header.entry_type() {
                EntryType::GNULongName => name = Some(self.text(size)?),
                EntryType::GNULongLink => link = Some(self.text(size)?),
                EntryType::XHeader => records = parse(&self.small(size)?)?,
                // Said of the whole archive: no runtime heeds it.
                EntryType::XGlobalHeader => self.data(size)?,
                _ => return self.entry(header, size, name, link, records).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        header: Header,
        size: u64,
        name: Option<Vec<u8>>,
        link: Option<Vec<u8>>,
        records: Records,
    ) -> Result<Entry> {
        let record = |key: &str| find(&records, key).map(<[u8]>::to_vec);
        let name = record("GNU.sparse.name").or_else(|| record("path")).or(name);
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = record("linkpath").or(link);
        let link = link.or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
        let size = number(&records, "size")?.unwrap_or(size);
        let link = link.unwrap_or_default();
        let mut entry = Entry { header, name, link, records, size, sparse: None };
        // What the size of these means nobody agrees on; data they have none.
        entry.size = if entry.is_file() { size } else { 0 };
        self.data(entry.size)?;
        entry.sparse = self.pieces(&entry)?;
        if let Some((length, pieces)) = &entry.sparse {
            entry.size = check(*length, pieces, self.left)?;
        }
        Ok(entry)
    }

    /// From here on `size` bytes are data, up to the end of a block.
    fn data(&mut self, size: u64) -> Result<()> {
        let blocks = size.checked_next_multiple_of(BLOCK as u64);
        let blocks = blocks.ok_or_else(|| Error::new("a tar header with an impossible size"))?;
        (self.left, self.padding) = (size, blocks - size);
        Ok(())
    }

    fn skip(&mut self) -> Result<()> {
        let mut buffer = [0; 16 << 10];
        while self.read(&mut buffer)? > 0 {}
        self.left = std::mem::take(&mut self.padding);
        while self.read(&mut buffer)? > 0 {}
        Ok(())
    }

    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        // Some programs leave out the two empty blocks at the end.
        if !fill(&mut self.reader, block)? || block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        match is_header(&header) {
            true => Ok(Some(header)),
            false => Err(Error::new("not a tar header: its checksum is wrong")),
        }
    }

    fn small(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > MAX_RECORDS {
            return Err(Error::new(format!("a tar header of {size} bytes")));
        }
        self.data(size)?;
        let mut bytes = vec![0; size as usize];
        self.exact(&mut bytes)?;
        Ok(bytes)
    }

    fn text(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut bytes = self.small(size)?;
        bytes.truncate(bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()));
        Ok(bytes)
    }

    pub(crate) fn exact(&mut self, mut bytes: &mut [u8]) -> Result<()> {
        while !bytes.is_empty() {
            match self.read(bytes)? {
                0 => return Err(Error::new("a tar entry that is too short")),
                got => bytes = &mut bytes[got..],
            }
        }
        Ok(())
    }
}

/// Whether a block is a header: the sum of its bytes, with the sum itself as spaces.
pub(crate) fn is_header(header: &Header) -> bool {
    let bytes = header.as_bytes();
    let sum: u32 = bytes[..148].iter().chain(&bytes[156..]).map(|&byte| u32::from(byte)).sum();
    header.cksum().is_ok_and(|said| said == sum + 8 * 32)
}

/// Reads a whole block; `false` at the end of everything.
pub(crate) fn fill(reader: &mut impl Read, block: &mut [u8]) -> Result<bool> {
    let mut have = 0;
    while have < block.len() {
        match reader.read(&mut block[have..]) {
            Ok(0) if have == 0 => return Ok(false),
            Ok(0) => return Err(Error::new("the archive ends in the middle of a header")),
            Ok(got) => have += got,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(moving("reading the archive", error)),
        }
    }
    Ok(true)
}
