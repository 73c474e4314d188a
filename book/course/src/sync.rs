//! A copy of the house in which pieces may be changed: for patches and for tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::exercise::{files, name};

/// What the copy has: the chapters with their suites, and what those are built with.
const FOLDERS: [&str; 4] = [".cargo", "chapters", "tests", "book/course/checkpoint"];

/// Makes `copy` like `tree`, or brings it up to date. A file is written only if it differs,
/// so that cargo builds little. What is not in the tree any more goes.
pub fn sync(tree: &Path, copy: &Path) -> Result<()> {
    for folder in FOLDERS {
        same(&tree.join(folder), &copy.join(folder))?;
    }
    let top = tree.join("Cargo.toml");
    let text = fs::read_to_string(&top).with_context(|| top.display().to_string())?;
    put(&copy.join("Cargo.toml"), workspace(&text).as_bytes())?;
    // Cargo shortens the copy of this one to what is left of the house; so only once.
    let lock = copy.join("Cargo.lock");
    if !lock.exists() {
        fs::copy(tree.join("Cargo.lock"), &lock).with_context(|| lock.display().to_string())?;
    }
    Ok(())
}

/// The house's manifest with fewer rooms.
fn workspace(top: &str) -> String {
    let mut text = String::new();
    for line in top.lines() {
        match line.split_once(" = ") {
            Some(("members", _)) => {
                text += "members = [\"book/course/checkpoint\", \"chapters/*\", \"tests\"]\n";
            }
            Some(("default-members", _)) => {}
            _ => text += &format!("{line}\n"),
        }
    }
    text
}

fn same(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for old in files(to) {
        if !from.join(name(&old)).exists() {
            let removed =
                if old.is_dir() { fs::remove_dir_all(&old) } else { fs::remove_file(&old) };
            removed.with_context(|| old.display().to_string())?;
        }
    }
    for file in files(from) {
        let copy = to.join(name(&file));
        if file.is_dir() {
            same(&file, &copy)?;
        } else if file.is_file() {
            let text = fs::read(&file).with_context(|| file.display().to_string())?;
            put(&copy, &text)?;
            let mode = file.metadata()?.permissions().mode() | 0o200;
            fs::set_permissions(&copy, fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

/// Writes a file if it does not say so already.
pub fn put(file: &Path, text: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let dir = file.parent().unwrap_or(file);
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    fs::write(file, text).with_context(|| file.display().to_string())
}
