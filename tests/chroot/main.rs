//! Chapter 2 from outside: the program `02-chroot`, and its library under attack.

#[path = "../clone/held.rs"]
mod held;
mod inside;
mod more;
mod mounts;
mod races;
mod trees;

use dockster_tests::{Failed, Run, TempDir, busybox_rootfs, run};

fn main() {
    if let Some(part) = std::env::var_os(trees::PART) {
        match &*part.to_string_lossy() {
            more::PART => more::play(),
            part => trees::play(part),
        }
        return;
    }
    let parts =
        [inside::trials(), mounts::trials(), trees::trials(), more::trials(), races::trials()];
    run(parts.into_iter().flatten().collect())
}

/// A run of the chapter's program in `root`.
fn chroot(options: &[&str], root: &TempDir) -> Run {
    Run::new(env!("CARGO_BIN_EXE_02-chroot")).args(options).arg(root.path()).arg("--")
}

/// The program running `script` in `root`.
fn sh(options: &[&str], root: &TempDir, script: &str) -> Run {
    chroot(options, root).args(["sh", "-c", script]).env("PATH", "/usr/bin:/bin")
}

/// A small root that has a shell.
fn root() -> Result<TempDir, Failed> {
    let root = TempDir::new();
    busybox_rootfs(root.path())?;
    Ok(root)
}
