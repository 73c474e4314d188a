//! Catalogue: not needed to understand the chapter.
//!
//! Where a program is: along PATH, as a shell looks for it.

use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use crate::error::Result;
use crate::exec::{Found, c_string};

impl Found {
    /// Adds a variable (`NAME=value`) to its environment, for what nobody could know before.
    pub fn add(&mut self, variable: impl Into<OsString>) -> Result<()> {
        self.program.env.push(c_string(variable)?);
        Ok(())
    }
}

/// The file that `name` means in this environment.
pub(crate) fn search(name: &OsStr, env: &[CString]) -> nix::Result<OsString> {
    if name.as_bytes().contains(&b'/') {
        return executable(name).map(|()| name.to_owned());
    }
    if name.is_empty() {
        return Err(Errno::ENOENT);
    }
    let path = env.iter().find_map(|v| v.as_bytes().strip_prefix(b"PATH="));
    let mut refused = Errno::ENOENT;
    for dir in path.unwrap_or(b"/usr/bin:/bin").split(|&b| b == b':').filter(|d| !d.is_empty()) {
        let file = [dir, b"/", name.as_bytes()].concat();
        let file = OsString::from_vec(file);
        match executable(&file) {
            Ok(()) => return Ok(file),
            // A directory that may not be searched does not count.
            Err(Errno::EACCES) if fs::metadata(&file).is_ok() => refused = Errno::EACCES,
            _ => {}
        }
    }
    Err(refused)
}

fn executable(file: &OsStr) -> nix::Result<()> {
    let metadata =
        fs::metadata(file).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)))?;
    // Root's access(2) says yes to a directory, and to a file with any x bit at all.
    if !metadata.is_file() || metadata.mode() & 0o111 == 0 {
        return Err(Errno::EACCES);
    }
    access(file, AccessFlags::X_OK)
}
