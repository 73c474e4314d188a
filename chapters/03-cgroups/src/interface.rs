//! Catalogue: not needed to understand the chapter.
//!
//! A cgroup's interface files: short texts, read and written whole.
//!
//! ```text
//! memory.max      67108864            one value, `max` where there is no limit
//! memory.events   oom_kill 1          one key and value a line
//! io.stat         8:0 rbytes=4096 …   one device a line
//! ```

use std::fs::{File, OpenOptions, read_to_string};
use std::io::Write;
use std::path::Path;

use ch01_clone::Result;
use ch01_clone::error::Context;
use nix::errno::Errno;

/// The text of an interface file.
pub(crate) fn read(dir: &Path, file: &str) -> Result<String> {
    let path = dir.join(file);
    read_to_string(&path).call(|| format!("read({path:?})"))
}

/// The text, or `None` where this kernel (or this cgroup's set of
/// controllers) has no such file, or has it switched off.
pub(crate) fn read_if_any(dir: &Path, file: &str) -> Result<Option<String>> {
    match read(dir, file) {
        Ok(text) => Ok(Some(text)),
        Err(e) if matches!(e.errno, Some(Errno::ENOENT | Errno::EOPNOTSUPP)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Writes a value in one write(2): the kernel takes it whole or refuses it whole.
pub(crate) fn write(dir: &Path, file: &str, value: &str) -> Result<()> {
    let path = dir.join(file);
    // Not fs::write(): it would try to create a missing file, and the errno
    // would be that of a file system where nobody can create files.
    let open: std::io::Result<File> = OpenOptions::new().write(true).open(&path);
    open.and_then(|mut file| file.write_all(value.as_bytes()))
        .call(|| format!("write({path:?}, {value:?})"))
}

/// A single value; `None` for `max`.
pub(crate) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The value behind `key`; 0 when there is no such key.
pub(crate) fn value_of(text: &str, key: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == key)
        .and_then(|(_, value)| number(value))
        .unwrap_or(0)
}

/// Whether a list such as `cpu memory pids` has this word.
pub(crate) fn lists(text: &str, word: &str) -> bool {
    text.split_whitespace().any(|w| w == word)
}
