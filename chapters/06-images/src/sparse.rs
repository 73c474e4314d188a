//! Catalogue: not needed to understand the chapter.
//!
//! Files with holes: where their pieces lie, in the four ways in which tar(1) says it.

use std::io::Read;

use ch01_clone::{Error, Result};
use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader};

use crate::entries::{BLOCK, Entries, fill};
use crate::entry::Entry;
use crate::moving;
use crate::records::{decimal, find, number};

/// As many pieces as a sparse file may have here.
const MAX_PIECES: usize = 1 << 20;

/// A piece of a file with holes: `length` bytes of data at `offset`.
pub struct Piece {
    /// Where in the file.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

impl<R: Read> Entries<R> {
    /// Where the pieces of a sparse file lie: GNU's own headers, or PAX in three versions.
    pub(crate) fn pieces(&mut self, entry: &Entry) -> Result<Option<(u64, Vec<Piece>)>> {
        let io = |error| moving("a sparse file's header", error);
        let mut pieces = Vec::new();
        if let (EntryType::GNUSparse, Some(gnu)) =
            (entry.header.entry_type(), entry.header.as_gnu())
        {
            gnu.sparse.iter().try_for_each(|piece| add(&mut pieces, piece))?;
            let mut more = gnu.is_extended();
            while more {
                let mut block = GnuExtSparseHeader::new();
                if !fill(&mut self.reader, block.as_mut_bytes())? {
                    return Err(Error::new("the archive ends in a sparse file's header"));
                }
                block.sparse().iter().try_for_each(|piece| add(&mut pieces, piece))?;
                more = block.is_extended();
            }
            return Ok(Some((gnu.real_size().map_err(io)?, pieces)));
        }
        let length = number(&entry.records, "GNU.sparse.realsize")?
            .or(number(&entry.records, "GNU.sparse.size")?);
        let Some(length) = length.filter(|_| entry.is_file()) else { return Ok(None) };
        let numbers = if let Some(map) = find(&entry.records, "GNU.sparse.map") {
            map.split(|&byte| byte == b',').map(decimal).collect::<Result<Vec<_>>>()?
        } else if find(&entry.records, "GNU.sparse.major") == Some(b"1") {
            self.map_in_data()?
        } else {
            let keys = [&b"GNU.sparse.offset"[..], b"GNU.sparse.numbytes"];
            let ours = entry.records.iter().filter(|(key, _)| keys.contains(&&**key));
            ours.map(|(_, value)| decimal(value)).collect::<Result<Vec<_>>>()?
        };
        for pair in numbers.chunks(2) {
            let &[offset, length] = pair else { return Err(Error::new("half a sparse piece")) };
            push(&mut pieces, offset, length)?;
        }
        Ok(Some((length, pieces)))
    }

    /// PAX 1.0: the data begins with blocks of decimal numbers, a line each, the first their count.
    fn map_in_data(&mut self) -> Result<Vec<u64>> {
        let (mut numbers, mut digits) = (Vec::new(), Vec::new());
        let mut block = [0; BLOCK];
        loop {
            self.exact(&mut block)?;
            for &byte in &block {
                match byte {
                    b'\n' => numbers.push(decimal(&std::mem::take(&mut digits))?),
                    _ if digits.len() > 20 => return Err(Error::new("garbled sparse map")),
                    byte => digits.push(byte),
                }
                let wanted = numbers.first().copied().unwrap_or(1);
                if wanted > MAX_PIECES as u64 {
                    return Err(Error::new("a sparse file of too many pieces"));
                }
                if numbers.len() as u64 == 2 * wanted + 1 {
                    numbers.remove(0);
                    return Ok(numbers);
                }
            }
        }
    }
}

fn add(pieces: &mut Vec<Piece>, piece: &GnuSparseHeader) -> Result<()> {
    let io = |error| moving("a sparse file's header", error);
    match piece.is_empty() {
        true => Ok(()),
        false => push(pieces, piece.offset().map_err(io)?, piece.length().map_err(io)?),
    }
}

fn push(pieces: &mut Vec<Piece>, offset: u64, length: u64) -> Result<()> {
    if pieces.len() == MAX_PIECES {
        return Err(Error::new("a sparse file of too many pieces"));
    }
    pieces.push(Piece { offset, length });
    Ok(())
}

/// Pieces are in order, inside the file, and all of the data; says how much that is.
pub(crate) fn check(length: u64, pieces: &[Piece], data: u64) -> Result<u64> {
    let (mut end, mut sum) = (0, 0u64);
    for piece in pieces {
        let next = piece.offset.checked_add(piece.length).filter(|_| piece.offset >= end);
        end = next.ok_or_else(|| Error::new("a sparse file whose pieces overlap"))?;
        sum += piece.length;
    }
    match end <= length && sum == data {
        true => Ok(sum),
        false => Err(Error::new("a sparse file whose pieces are not its data")),
    }
}
