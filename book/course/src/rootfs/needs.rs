//! What a program needs beside itself: its loader says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The loader and the libraries of a program; none for a static one, `None` for what
/// is no ELF file.
pub(super) fn libraries(program: &Path) -> Result<Option<Vec<PathBuf>>> {
    let bytes = fs::read(program).with_context(|| format!("read {}", program.display()))?;
    if !bytes.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let Some(loader) = interpreter(&bytes) else { return Ok(Some(Vec::new())) };
    // glibc's and musl's loader both answer like this, one library a line:
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`.
    let listed = Command::new(&loader).arg("--list").arg(program).env("LC_ALL", "C").output();
    let listed = listed.with_context(|| format!("start the loader {}", loader.display()))?;
    if !listed.status.success() {
        bail!("{} --list {}: {}", loader.display(), program.display(), listed.status);
    }
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut all = vec![loader];
    for word in text.split_whitespace().filter(|word| word.starts_with('/')) {
        let path = PathBuf::from(word.trim_end_matches(':'));
        if path.is_file() && !all.contains(&path) {
            all.push(path);
        }
    }
    Ok(Some(all))
}

/// The loader that a program names in its segment PT_INTERP (elf(5)).
fn interpreter(bytes: &[u8]) -> Option<PathBuf> {
    const PT_INTERP: usize = 3;
    let (table, size) = (number(bytes, 0x20, 8)?, number(bytes, 0x36, 2)?);
    let segment = (0..number(bytes, 0x38, 2)?)
        .map(|n| table + n * size)
        .find(|at| number(bytes, *at, 4) == Some(PT_INTERP))?;
    let (start, length) = (number(bytes, segment + 8, 8)?, number(bytes, segment + 32, 8)?);
    let name = bytes.get(start..start.checked_add(length)?)?;
    Some(PathBuf::from(String::from_utf8_lossy(name).trim_end_matches('\0')))
}

/// A number of `size` bytes, in the order of this machine, as its programs are.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<usize> {
    let mut whole = [0; 8];
    let part = bytes.get(at..at.checked_add(size)?)?;
    match cfg!(target_endian = "little") {
        true => whole[..size].copy_from_slice(part),
        false => whole[8 - size..].copy_from_slice(part),
    }
    usize::try_from(u64::from_ne_bytes(whole)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_loader_and_libraries() {
        let all = libraries(Path::new("/proc/self/exe")).unwrap().unwrap();
        assert!(all.iter().all(|file| file.is_file()), "{all:?}");
        assert!(interpreter(b"\x7fELF").is_none());
        assert!(libraries(Path::new("/etc/passwd")).unwrap().is_none());
    }
}
