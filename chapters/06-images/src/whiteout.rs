//! What a layer takes away.
//!
//! A layer is an archive, and an archive can only add. So a file named `.wh.NAME`
//! says that NAME of the layers below is gone, and `.wh..wh..opq` that nothing of
//! its directory shows through. overlayfs says the same in its own way: by a
//! character device 0:0 in the place of NAME, and by an attribute of the directory.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ch01_clone::{Context, Error, Result};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mknodat};
use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};

use crate::apply::Applier;
use crate::place::open_directory;

/// What the name of an entry means.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// What it says.
    Itself,
    /// This name is gone.
    Gone(&'a OsStr),
    /// Nothing of the layers below shows in this directory.
    Opaque,
    /// Notes of an older file system, to be left out.
    Nothing,
}

/// What `name`, the last of a path, means.
pub fn meaning(name: &OsStr) -> Result<Meaning<'_>> {
    // HOLE: 06.1
    let Some(rest) = name.as_bytes().strip_prefix(b".wh.") else { return Ok(Meaning::Itself) };
    match rest {
        b".wh..opq" => Ok(Meaning::Opaque),
        _ if rest.starts_with(b".wh.") => Ok(Meaning::Nothing),
        b"" | b"." | b".." => Err(Error::new("a whiteout of what has no name")),
        _ => Ok(Meaning::Gone(OsStr::from_bytes(rest))),
    }
    // HOLE_END: 06.1
}

/// Puts overlayfs's whiteout at `name`.
// ANCHOR: make
pub fn make(parent: impl AsFd, name: &OsStr) -> nix::Result<()> {
    // The one device that the root of a user namespace may make, too.
    mknodat(parent, name, SFlag::S_IFCHR, Mode::empty(), 0)
}
// ANCHOR_END: make

/// What is at `name`, without following it; `None` if nothing is.
pub fn look(parent: impl AsFd, name: &OsStr) -> Result<Option<FileStat>> {
    match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => Ok(None),
        done => done.call(|| format!("fstatat({name:?})")).map(Some),
    }
}

/// Whether this is overlayfs's whiteout.
pub fn is(stat: &FileStat) -> bool {
    kind(stat) == SFlag::S_IFCHR && stat.st_rdev == 0
}

/// The type bits of a mode.
pub(crate) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// Makes a directory opaque. In a user namespace overlayfs looks at `user.*`
/// attributes (mount option `userxattr`): those of `trusted.*` take privileges.
pub fn make_opaque(dir: impl AsFd, in_user_namespace: bool) -> Result<()> {
    let name = opaque(in_user_namespace);
    fsetxattr(dir, name, b"y", XattrFlags::empty())
        .map_err(std::io::Error::from)
        .call(|| format!("fsetxattr({name})"))
        .map_err(|error| match error.errno {
            Some(Errno::EOPNOTSUPP) => {
                error.hint("the file system under --root keeps no extended attributes")
            }
            _ => error,
        })
}

/// Whether a directory is opaque.
pub(crate) fn is_opaque(dir: impl AsFd, in_user_namespace: bool) -> Result<bool> {
    let mut value = [0; 8];
    match fgetxattr(dir, opaque(in_user_namespace), &mut value[..]) {
        Ok(length) => Ok(&value[..length] == b"y"),
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => Ok(false),
        Err(rustix::io::Errno::RANGE) => Ok(false),
        Err(errno) => Err(std::io::Error::from(errno)).call(|| "fgetxattr(overlay.opaque)"),
    }
}

fn opaque(in_user_namespace: bool) -> &'static str {
    if in_user_namespace { "user.overlay.opaque" } else { "trusted.overlay.opaque" }
}

impl Applier<'_> {
    /// `name` of the layers below is gone. Of this layer it is not: a directory
    /// that is in it as well hides the old one by being opaque, all else by being there.
    pub(crate) fn whiteout(&mut self, parent: &Path, name: &OsStr) -> Result<()> {
        // What never was there cannot go, and its parents need not come for it.
        if self.stack.is_high() && !self.stack.has(parent, name)? {
            return Ok(());
        }
        self.enter(parent)?;
        self.space.take_entry()?;
        // ANCHOR: whiteout
        match look(self.place(), name)? {
            None => make(self.place(), name).call(|| "mknodat(S_IFCHR, 0:0)"),
            Some(stat) if kind(&stat) == SFlag::S_IFDIR => {
                let dir = open_directory(self.place(), name)?;
                make_opaque(&dir, self.in_user_namespace)
            }
            Some(_) => Ok(()),
        }
        // ANCHOR_END: whiteout
    }
}

/// Attributes by which overlayfs would be told what only whiteouts may tell it.
pub fn is_private_attribute(name: &OsStr) -> bool {
    [&b"trusted.overlay."[..], b"user.overlay."].iter().any(|p| name.as_bytes().starts_with(p))
}
