//! Where the sources are, and where what is made of them goes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access, geteuid};

/// The top of the source tree: the first directory, from here on upwards, that has
/// `chapters` and `book` in it. Elsewhere `DOCKSTER_TREE` says it, or else the place
/// where this program was compiled.
pub fn tree() -> PathBuf {
    let is_top = |dir: &Path| dir.join("chapters").is_dir() && dir.join("book").is_dir();
    let here = std::env::current_dir().unwrap_or_default();
    let above = here.ancestors().find(|dir| is_top(dir)).map(Path::to_owned);
    let told = || std::env::var_os("DOCKSTER_TREE").map(PathBuf::from);
    let compiled = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let top = above.or_else(told).unwrap_or_else(compiled);
    top.canonicalize().unwrap_or(top)
}

/// Where we make `name`: in `target`, or in the user's cache directory if `target`, or
/// what is there, is somebody else's.
pub fn place(tree: &Path, name: &str) -> PathBuf {
    let target = tree.join("target");
    let here = target.join(name);
    let ours = match fs::metadata(&here) {
        Ok(meta) => meta.uid() == geteuid().as_raw(),
        Err(_) => {
            let dir = if target.exists() { &target } else { tree };
            access(dir, AccessFlags::W_OK).is_ok()
        }
    };
    if ours { here } else { cache().join("dockster").join(name) }
}

/// `XDG_CACHE_HOME`, or `~/.cache`.
fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = || variable("HOME").map(|home| home.join(".cache"));
    variable("XDG_CACHE_HOME").or_else(home).unwrap_or_else(std::env::temp_dir)
}

/// A path as it can be typed: relative in the sources, where people stand.
pub fn shown(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).to_owned()
}
