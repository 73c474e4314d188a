//! Catalogue: not needed to understand the chapter.
//!
//! Files that are whole at any time, and random numbers for ids.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use ch01_clone::{Context, Error, Result};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a file holds; `None` where there is no such file.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    text_of(path)?.map(|text| parse(path, &text)).transpose()
}

/// The same of a file that was written as one that is not `kept`: it is empty if the machine
/// lost its power before it was on the disk, and then nobody needs it any more.
pub fn read_unless_lost<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = text_of(path)?.filter(|text| !text.is_empty());
    text.map(|text| parse(path, &text)).transpose()
}

fn text_of(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).call(|| format!("open({path:?})")),
    }
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::new(format!("{path:?} is damaged: {error}")))
}

/// Writes it beside, and then in one step in its place: a reader, and whoever comes after a
/// crash, finds the old or the new. `kept`: on the disk, too, for what outlives the machine's run.
///
/// Whatever replaces another file by rename(2), ext4 and btrfs send to the disk at once
/// (ext4(5), `auto_da_alloc`): milliseconds, and the more the longer it is. Two that change
/// their places are let alone.
pub fn write<T: Serialize + ?Sized>(path: &Path, value: &T, kept: bool) -> Result<()> {
    let beside = path.with_extension("new");
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|error| Error::new(error.to_string()))?;
    text.push(b'\n');
    let mut file = File::create(&beside).call(|| format!("open({beside:?}, O_CREAT)"))?;
    for_all_to_read(&beside, 0o644)?;
    file.write_all(&text).call(|| format!("write({beside:?})"))?;
    if kept {
        file.sync_all().call(|| format!("fsync({beside:?})"))?;
    } else if renameat_with(CWD, &beside, CWD, path, RenameFlags::EXCHANGE).is_ok() {
        return fs::remove_file(&beside).call(|| format!("unlink({beside:?})"));
    }
    // The first of this name, or a file system that cannot do that.
    fs::rename(&beside, path).call(|| format!("rename({beside:?}, {path:?})"))
}

/// A directory, which may be there already. Those above it that are made are nobody
/// else's.
pub fn directory(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.call(|| format!("mkdir({path:?})"))?;
    for_all_to_read(path, 0o755)
}

/// netd reads what is written here, and is nobody. Whatever the umask is.
fn for_all_to_read(path: &Path, mode: u32) -> Result<()> {
    let changed = fs::set_permissions(path, Permissions::from_mode(mode));
    changed.call(|| format!("chmod({path:?}, {mode:o})"))
}

/// Removes a directory with the files in it, if it is there.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).call(|| format!("unlink({path:?})"))
        }
        _ => Ok(()),
    }
}

/// So many random bytes as hexadecimal digits.
pub fn random<const BYTES: usize>() -> Result<String> {
    let mut bytes = [0; BYTES];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .call(|| "read(/dev/urandom)")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
