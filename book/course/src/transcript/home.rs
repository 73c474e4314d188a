//! What a session has of its own: a home, in it the source tree with a `target` to write
//! to, and a `cargo` that knows where `x` is.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that goes with its owner.
#[derive(Debug)]
pub(super) struct Home {
    top: PathBuf,
}

impl Home {
    /// Makes it. `cargo x …` in it is the program `x`; all else goes to the real cargo.
    pub(super) fn new(x: &Path, tree: &Path) -> io::Result<Home> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let parent = std::env::var_os("TMPDIR").unwrap_or("/var/tmp".into());
        let name = format!("dockster-transcript-{}-{number}", std::process::id());
        let home = Home { top: Path::new(&parent).join(name) };
        fs::create_dir(&home.top)?;
        fs::create_dir(home.path())?;
        fs::create_dir(home.programs())?;
        link_tree(tree, &home.tree())?;
        let cargo = home.programs().join("cargo");
        fs::write(&cargo, cargo_script(x))?;
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755))?;
        Ok(home)
    }

    /// What `HOME` is.
    pub(super) fn path(&self) -> PathBuf {
        self.top.join("home")
    }

    /// The source tree, as anybody may use it: what is made, is made here.
    pub(super) fn tree(&self) -> PathBuf {
        self.path().join("dockster")
    }

    /// The first directory of `PATH`.
    pub(super) fn programs(&self) -> PathBuf {
        self.top.join("bin")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What cannot be removed was left by a transcript: it is seen to be there.
        let _ = fs::remove_dir_all(&self.top);
    }
}

/// Each entry of the real tree, but a `target` of its own: the real one may be somebody
/// else's, and a reader's is no place for what tests make.
fn link_tree(real: &Path, linked: &Path) -> io::Result<()> {
    fs::create_dir_all(linked.join("target"))?;
    for entry in fs::read_dir(real)? {
        let entry = entry?;
        if !["target", "mine"].map(Into::into).contains(&entry.file_name()) {
            symlink(entry.path(), linked.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// The real cargo keeps its toolchains in the real home.
fn cargo_script(x: &Path) -> String {
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', "'\\''"));
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or("/".into());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let real = std::env::split_paths(&path).map(|dir| dir.join("cargo")).find(|f| f.is_file());
    let otherwise = match real {
        Some(cargo) => format!("HOME={} exec {} \"$@\"", quoted(&home), quoted(&cargo)),
        None => "echo 'cargo: not found' >&2; exit 127".into(),
    };
    let x = quoted(x);
    format!("#!/bin/sh\nif [ \"$1\" = x ]; then shift; exec {x} \"$@\"; fi\n{otherwise}\n")
}
