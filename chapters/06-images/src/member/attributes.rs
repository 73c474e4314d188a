//! Catalogue: not needed to understand the chapter.
//!
//! The extended attributes of a file, as an archive has them.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use ch01_clone::{Context, Result};
use rustix::fs::{lgetxattr, llistxattr};

use super::Records;
use crate::whiteout;

/// Adds those of `name` in `parent`, but the host's labels and overlayfs's own notes.
pub(crate) fn attributes(parent: &OwnedFd, name: &OsStr, records: &mut Records) -> Result<()> {
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
