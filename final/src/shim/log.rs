//! What a container says, kept: one line of JSON for each of its lines, as docker's
//! json-file has them.
//!
//! ```text
//! {"log":"hello\n","stream":"stdout","time":"2026-01-31T12:00:00.123456789Z"}
//! ```
//!
//! A line is written with one write(2), whole, so that it can be read meanwhile. A
//! byte that is no UTF-8 becomes a lone surrogate, `\udc80` to `\udcff` (Python's
//! `surrogateescape`): any JSON reader takes that, and nothing is lost. What has been
//! said without a newline is a line without one.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::time;
use crate::engine::record::LogOptions;

/// Its file in the container's directory.
pub const FILE: &str = "container.log";

/// So much is put together for one write(2).
const BLOCK: usize = 48 << 10;

/// The longest line that is written as one; docker's.
const LINE: usize = 16 << 10;

/// The log of one container. It never fails: what cannot be written is counted.
pub struct Log {
    path: PathBuf,
    options: LogOptions,
    file: Option<File>,
    /// How much of the file is whole lines.
    size: u64,
    block: Vec<u8>,
    /// What could not be written since the last line that could: bytes of output.
    lost: u64,
    /// How much of `block` is output, to be counted as lost if it comes to that.
    pending: u64,
    why: String,
}

impl Log {
    /// Opens it, to go on at its end.
    pub fn open(dir: &Path, options: LogOptions) -> Self {
        let path = dir.join(FILE);
        // The file is made when there is something to put into it.
        Self {
            path,
            options,
            file: None,
            size: 0,
            block: Vec::new(),
            lost: 0,
            pending: 0,
            why: String::new(),
        }
    }

    fn reopen(&mut self) {
        if !self.options.kept {
            return;
        }
        let opened =
            OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(&self.path);
        match opened.and_then(|file| Ok((whole(&file)?, file))) {
            Ok((size, file)) => (self.size, self.file) = (size, Some(file)),
            Err(error) => self.why = error.to_string(),
        }
    }

    /// Keeps what came from `stream`.
    pub fn write(&mut self, stream: &str, bytes: &[u8]) {
        if !self.options.kept {
            return;
        }
        let time = time::text(time::now());
        for line in bytes.split_inclusive(|byte| *byte == b'\n').flat_map(|l| l.chunks(LINE)) {
            self.block.extend_from_slice(b"{\"log\":\"");
            escape(line, &mut self.block);
            self.block.extend_from_slice(b"\",\"stream\":\"");
            self.block.extend_from_slice(stream.as_bytes());
            self.block.extend_from_slice(b"\",\"time\":\"");
            self.block.extend_from_slice(time.as_bytes());
            self.block.extend_from_slice(b"\"}\n");
            self.pending += line.len() as u64;
            if self.block.len() >= BLOCK {
                self.flush();
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        if self.block.is_empty() {
            return;
        }
        let mut block = std::mem::take(&mut self.block);
        if self.lost > 0 {
            // Together with what comes next: else it would be the only thing that fits.
            block.splice(0..0, self.loss());
        }
        match self.append(&block) {
            true => self.lost = 0,
            false => self.lost += self.pending,
        }
        self.pending = 0;
        self.block = block;
        self.block.clear();
    }

    /// The line that says in the log itself how much is missing.
    fn loss(&self) -> Vec<u8> {
        let (lost, why, time) = (self.lost, &self.why, time::text(time::now()));
        let line = format!(
            "{{\"log\":\"dockster: {lost} bytes of output are missing here: {why}\\n\",\
             \"stream\":\"stderr\",\"time\":\"{time}\"}}\n"
        );
        line.into_bytes()
    }

    /// At the end: how much was lost and could not even be told in the log.
    pub fn lost(&mut self) -> Option<String> {
        if self.lost > 0 && self.append(&self.loss()) {
            self.lost = 0;
        }
        let (lost, why) = (self.lost, &self.why);
        (lost > 0).then(|| format!("{lost} bytes of output are missing in the log: {why}"))
    }

    /// All of it or nothing.
    fn append(&mut self, block: &[u8]) -> bool {
        let most = self.options.max_size;
        if most > 0 && self.size > 0 && self.size + block.len() as u64 > most {
            self.rotate();
        }
        if self.file.is_none() {
            self.reopen();
        }
        let Some(file) = &mut self.file else { return false };
        match file.write_all(block) {
            Ok(()) => {
                self.size += block.len() as u64;
                true
            }
            Err(error) => {
                self.why = error.to_string();
                // Half a line is no line.
                let _ = file.set_len(self.size);
                false
            }
        }
    }

    /// `container.log` becomes `.1`, that one `.2`, and the last one goes.
    fn rotate(&mut self) {
        let numbered = |number: u32| match number {
            0 => self.path.clone(),
            _ => PathBuf::from(format!("{}.{number}", self.path.display())),
        };
        let last = self.options.max_file.max(1) - 1;
        // Who still reads it has it open. Never emptied: a reader would miss the end.
        let _ = fs::remove_file(numbered(last));
        for number in (0..last).rev() {
            let _ = fs::rename(numbered(number), numbered(number + 1));
        }
        self.file = None;
        self.reopen();
    }
}

/// The length of a log, with the end of a line at its end: who wrote it may have been killed.
fn whole(mut file: &File) -> std::io::Result<u64> {
    let size = file.metadata()?.len();
    if size == 0 {
        return Ok(0);
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(size - 1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(size);
    }
    file.write_all(b"\n")?;
    Ok(size + 1)
}

/// As a JSON string has it.
fn escape(line: &[u8], to: &mut Vec<u8>) {
    for chunk in line.utf8_chunks() {
        let text = chunk.valid().as_bytes();
        let mut start = 0;
        for (at, &byte) in text.iter().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            to.extend_from_slice(&text[start..at]);
            start = at + 1;
            match byte {
                b'\n' => to.extend_from_slice(b"\\n"),
                b'\r' => to.extend_from_slice(b"\\r"),
                b'\t' => to.extend_from_slice(b"\\t"),
                b'"' | b'\\' => to.extend_from_slice(&[b'\\', byte]),
                _ => unicode(byte.into(), to),
            }
        }
        to.extend_from_slice(&text[start..]);
        for &byte in chunk.invalid() {
            unicode(0xdc00 + u16::from(byte), to);
        }
    }
}

fn unicode(code: u16, to: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    to.extend_from_slice(b"\\u");
    to.extend([12, 8, 4, 0].map(|shift| DIGITS[usize::from(code >> shift & 15)]));
}
