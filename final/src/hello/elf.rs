//! As much of ELF as it takes to see what a program needs beside itself (elf(5)).

use std::fs;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result};

/// What a program or library needs.
pub(super) struct Elf {
    /// The loader that starts it; a static program has none.
    pub(super) interpreter: Option<PathBuf>,
    /// The names of the libraries that it needs.
    pub(super) needed: Vec<String>,
}

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;

/// A part of the file, and the address that it has in memory.
struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

impl Elf {
    /// Looks into a file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).call(|| format!("read({path:?})"))?;
        Self::parse(&bytes)
            .ok_or_else(|| Error::new(format!("{path:?} is not a 64-bit ELF file of this machine")))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let order = if cfg!(target_endian = "little") { 1 } else { 2 };
        (bytes.get(..6)? == [0x7f, b'E', b'L', b'F', 2, order]).then_some(())?;
        let (table, size) = (number(bytes, 0x20, 8)?, number(bytes, 0x36, 2)?);
        let segments = (0..number(bytes, 0x38, 2)?)
            .map(|n| Segment::parse(bytes, n.checked_mul(size)?.checked_add(table)?))
            .collect::<Option<Vec<_>>>()?;
        let of_kind = |kind| segments.iter().find(|segment| segment.kind == kind);
        let interpreter = match of_kind(PT_INTERP) {
            Some(segment) => Some(text(bytes, segment.offset)?.into()),
            None => None,
        };
        let needed = match of_kind(PT_DYNAMIC) {
            Some(dynamic) => needed(bytes, dynamic, &segments)?,
            None => Vec::new(),
        };
        Some(Self { interpreter, needed })
    }
}

impl Segment {
    fn parse(bytes: &[u8], at: u64) -> Option<Self> {
        (at < bytes.len() as u64).then_some(())?;
        Some(Self {
            kind: number(bytes, at, 4)?,
            offset: number(bytes, at + 8, 8)?,
            address: number(bytes, at + 16, 8)?,
            size: number(bytes, at + 32, 8)?,
        })
    }
}

/// The dynamic section: pairs of a tag and a value. Names are offsets into the
/// string table, whose address is one of the values, in memory and not in the file.
fn needed(bytes: &[u8], dynamic: &Segment, segments: &[Segment]) -> Option<Vec<String>> {
    let pairs = (0..dynamic.size / 16).map(|n| {
        let at = dynamic.offset.checked_add(n * 16)?;
        Some((number(bytes, at, 8)?, number(bytes, at.checked_add(8)?, 8)?))
    });
    // The first tag of 0 ends it.
    let pairs: Vec<_> =
        pairs.take_while(|pair| !matches!(pair, Some((0, _)))).collect::<Option<_>>()?;
    let Some(&(_, address)) = pairs.iter().find(|(tag, _)| *tag == DT_STRTAB) else {
        return Some(Vec::new());
    };
    let loaded = segments.iter().filter(|segment| segment.kind == PT_LOAD);
    let offset =
        |s: &Segment| Some(address.checked_sub(s.address).filter(|at| *at < s.size)? + s.offset);
    let strings = loaded.into_iter().find_map(offset)?;
    let names = pairs.iter().filter(|(tag, _)| *tag == DT_NEEDED);
    names.map(|(_, name)| text(bytes, strings.checked_add(*name)?)).collect()
}

/// A number of the machine's own byte order.
fn number(bytes: &[u8], at: u64, size: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let part = bytes.get(at..at.checked_add(size)?)?;
    let mut whole = [0; 8];
    match cfg!(target_endian = "little") {
        true => whole[..size].copy_from_slice(part),
        false => whole[8 - size..].copy_from_slice(part),
    }
    Some(u64::from_ne_bytes(whole))
}

/// A text that ends in a zero byte.
fn text(bytes: &[u8], at: u64) -> Option<String> {
    let rest = bytes.get(usize::try_from(at).ok()?..)?;
    let end = rest.iter().position(|&byte| byte == 0)?;
    Some(String::from_utf8_lossy(&rest[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_what_this_program_needs() {
        let elf = Elf::read(Path::new("/proc/self/exe")).unwrap();
        if let Some(interpreter) = elf.interpreter {
            assert!(interpreter.is_file());
            assert!(elf.needed.iter().all(|name| name.contains(".so")), "{:?}", elf.needed);
            assert!(!elf.needed.is_empty());
        }
    }

    #[test]
    fn refuses_what_is_none() {
        assert!(Elf::parse(b"#!/bin/sh\n").is_none());
        assert!(Elf::parse(b"\x7fELF").is_none());
        let whole = fs::read("/proc/self/exe").unwrap();
        assert!(Elf::parse(&whole[..100]).is_none());
    }
}
