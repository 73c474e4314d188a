//! Catalogue: not needed to understand the chapter.
//!
//! The kernel's settings of the network, as files below /proc/sys/net. They are those of
//! the caller's network namespace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use ch01_clone::{Context, Result};

fn path(key: &str) -> PathBuf {
    Path::new("/proc/sys/net").join(key)
}

/// Whether the kernel has it.
pub(crate) fn is_there(key: &str) -> bool {
    path(key).exists()
}

/// Its value.
pub(crate) fn read(key: &str) -> Result<String> {
    let value = fs::read_to_string(path(key)).call(|| format!("read({:?})", path(key)))?;
    Ok(value.trim().to_owned())
}

/// Sets it.
pub(crate) fn write(key: &str, value: &str) -> Result<()> {
    fs::write(path(key), value).call(|| format!("write({:?}, {value})", path(key)))
}

/// The same setting of each link, and of `all` and `default`.
pub(crate) fn of_each_link(family: &str, name: &str) -> Result<BTreeMap<String, String>> {
    let dir = path(family).join("conf");
    let links = fs::read_dir(&dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut values = BTreeMap::new();
    for link in links.call(|| format!("readdir({dir:?})"))? {
        let key = format!("{family}/conf/{}/{name}", link.file_name().to_string_lossy());
        // A link may have gone meanwhile.
        if let Ok(value) = read(&key) {
            values.insert(key, value);
        }
    }
    Ok(values)
}
