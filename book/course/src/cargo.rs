//! Cargo, as x calls it: quiet, and without a network.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};

/// Runs cargo in `dir` to its end, and keeps what it says.
///
/// What is needed lies in cargo's cache as a rule, so it is not asked for again. Only where
/// something is missing, cargo may fetch it.
pub fn cargo<A: AsRef<OsStr>>(dir: &Path, target: Option<&Path>, args: &[A]) -> Result<Output> {
    let offline = run(dir, target, args, true)?;
    let missing = String::from_utf8_lossy(&offline.stderr).contains("--offline");
    match missing && !offline.status.success() {
        true => run(dir, target, args, false),
        false => Ok(offline),
    }
}

fn run<A: AsRef<OsStr>>(
    dir: &Path,
    target: Option<&Path>,
    args: &[A],
    offline: bool,
) -> Result<Output> {
    let program = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(program);
    command.current_dir(dir).args(args).env("CARGO_TERM_COLOR", color());
    if offline {
        command.env("CARGO_NET_OFFLINE", "true");
    }
    if let Some(target) = target {
        command.env("CARGO_TARGET_DIR", target);
    }
    // What the cargo that started us says of our own package is not of theirs.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command.output().context("cannot start cargo: is Rust installed? see `cargo x doctor`")
}

fn color() -> &'static str {
    if crate::say::colored() { "always" } else { "never" }
}
