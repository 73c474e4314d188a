//! Catalogue: not needed to understand the chapter.
//!
//! Places over which something is to be mounted, in a layer of their own: else the mounts
//! would be seen in what the container has written.

use std::fs::{self, File};
use std::path::Path;

use ch01_clone::{Context, Result};
use ch02_chroot::Root;
use nix::sys::stat::{Mode, SFlag, mkdirat};

use super::attributes;
use crate::stack::Stack;
use crate::whiteout;

/// Makes in `to`, which is made, an empty file of each of these `names` that the directory
/// `dir` of the tree lacks; `dir`, one name, is there as it is in the tree. `false`, and
/// nothing made: the tree has all of them, or something else in their directory's place.
pub fn stubs(stack: &Stack, dir: &str, names: &[&str], to: &Path) -> Result<bool> {
    let found = stack.find(Path::new(dir))?;
    if found.as_ref().is_some_and(|found| whiteout::kind(&found.stat) != SFlag::S_IFDIR) {
        return Ok(false);
    }
    let mut missing = Vec::new();
    for name in names {
        if stack.find(&Path::new(dir).join(name))?.is_none() {
            missing.push(*name);
        }
    }
    if missing.is_empty() {
        return Ok(false);
    }
    fs::create_dir(to).call(|| format!("mkdir({to:?})"))?;
    let root = Root::open(to)?;
    mkdirat(&root, dir, Mode::from_bits_truncate(0o755)).call(|| format!("mkdir({dir:?})"))?;
    let place = to.join(dir);
    for name in missing {
        File::create_new(place.join(name)).call(|| format!("open({name:?}, O_EXCL)"))?;
    }
    // Last: what was made in it has changed its time.
    found.map_or(Ok(()), |found| attributes(&found, &root, dir.as_ref()))?;
    Ok(true)
}
