//! Reading a log while it is written: `dockster logs`.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::log::FILE;
use super::time;

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What was said.
    pub bytes: Vec<u8>,
    /// Whether to the errors.
    pub errors: bool,
    /// When: nanoseconds since 1970.
    pub time: u64,
}

/// The files of a log, from the oldest on: those put aside, and the one that is written.
pub struct Reader {
    path: PathBuf,
    /// Put aside before we came.
    older: VecDeque<PathBuf>,
    now: Option<(BufReader<File>, bool)>,
    line: Vec<u8>,
}

impl Reader {
    /// Of the container in this directory.
    pub fn open(dir: &Path) -> Self {
        let path = dir.join(FILE);
        let numbered = |number: u32| PathBuf::from(format!("{}.{number}", path.display()));
        let older = (1..).map(numbered).take_while(|path| path.exists()).collect::<Vec<_>>();
        let older = older.into_iter().rev().collect();
        Self { path, older, now: None, line: Vec::new() }
    }

    /// The next line; `None` when there is none yet.
    pub fn next(&mut self) -> std::io::Result<Option<Entry>> {
        loop {
            if self.now.is_none() {
                let (path, last) = match self.older.pop_front() {
                    Some(path) => (path, false),
                    None => (self.path.clone(), true),
                };
                match File::open(&path) {
                    Ok(file) => self.now = Some((BufReader::with_capacity(1 << 16, file), last)),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound && last => {
                        return Ok(None);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
            }
            let Some((file, last)) = &mut self.now else { continue };
            // What was half written at the last look stays in `line`.
            file.read_until(b'\n', &mut self.line)?;
            if self.line.ends_with(b"\n") {
                let entry = entry(&self.line);
                self.line.clear();
                match entry {
                    Some(entry) => return Ok(Some(entry)),
                    None => continue,
                }
            }
            let next = if *last { newer_than(file.get_ref(), &self.path) } else { None };
            if *last && next.is_none() {
                return Ok(None);
            }
            // Once more: it may have been written to between our look and its end.
            file.read_until(b'\n', &mut self.line)?;
            if !self.line.ends_with(b"\n") {
                self.line.clear();
                self.now = None;
                self.older.extend(next.unwrap_or_default());
            } else {
                let entry = entry(&self.line);
                self.line.clear();
                if let Some(entry) = entry {
                    return Ok(Some(entry));
                }
            }
        }
    }
}

/// Whether another file is there now where this one was.
pub fn replaced(file: &File, path: &Path) -> bool {
    newer_than(file, path).is_some()
}

/// If this file is not the one that is written any more: those that have been put aside
/// since, the oldest first.
fn newer_than(file: &File, path: &Path) -> Option<Vec<PathBuf>> {
    let same = |path: &Path| {
        let inode = file.metadata().map(|metadata| metadata.ino()).ok();
        fs::metadata(path).is_ok_and(|metadata| Some(metadata.ino()) == inode)
    };
    if same(path) || !path.exists() {
        return None;
    }
    let numbered = |number: u32| PathBuf::from(format!("{}.{number}", path.display()));
    let there = (1..).map(numbered).take_while(|path| path.exists() && !same(path));
    Some(there.collect::<Vec<_>>().into_iter().rev().collect())
}

/// `{"log":"...","stream":"...","time":"..."}`, as we write it.
fn entry(line: &[u8]) -> Option<Entry> {
    let rest = line.strip_prefix(b"{\"log\":\"")?;
    let (bytes, rest) = unescape(rest)?;
    let rest = rest.strip_prefix(b",\"stream\":\"")?;
    let errors = rest.starts_with(b"stderr");
    let rest = rest.get(6..)?.strip_prefix(b"\",\"time\":\"")?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    let time = time::stamp(std::str::from_utf8(&rest[..end]).ok()?)?;
    Some(Entry { bytes, errors, time })
}

/// A JSON string up to its quote, and what comes after it.
fn unescape(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    loop {
        match *text.get(at)? {
            b'"' => return Some((bytes, &text[at + 1..])),
            b'\\' => {
                let (byte, length) = (*text.get(at + 1)?, 2);
                at += length;
                match byte {
                    b'n' => bytes.push(b'\n'),
                    b'r' => bytes.push(b'\r'),
                    b't' => bytes.push(b'\t'),
                    b'b' => bytes.push(8),
                    b'f' => bytes.push(12),
                    b'u' => {
                        let digits = std::str::from_utf8(text.get(at..at + 4)?).ok()?;
                        at += 4;
                        match u16::from_str_radix(digits, 16).ok()? {
                            code @ 0xdc80..=0xdcff => bytes.push((code - 0xdc00) as u8),
                            code => {
                                let char = char::from_u32(code.into()).unwrap_or('\u{fffd}');
                                bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                            }
                        }
                    }
                    other => bytes.push(other),
                }
            }
            byte => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
}
