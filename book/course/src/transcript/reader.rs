//! What a reader has: a shell in the source tree, an empty home, a root file system.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::home::Home;
use super::page::Block;
use super::play::Bench;
use super::step::Step;

/// The prompt of the shell.
pub(super) const PROMPT: &str = "$ ";

/// A reader has made `target/rootfs` on an earlier page.
pub(super) fn make_rootfs(block: &Block, bench: &Bench, home: &Home) -> Result<()> {
    let mentions = |step: &Step| step.command().is_some_and(|c| c.contains("target/rootfs"));
    if !block.steps.iter().any(mentions) {
        return Ok(());
    }
    let mut x = Command::new(&bench.x);
    as_a_reader(&mut x, block, bench, home);
    let made = x.arg("rootfs").output().context("cargo x rootfs")?;
    let said = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "cargo x rootfs: {}", said.trim());
    Ok(())
}

/// The shell that every transcript begins with.
pub(super) fn shell(block: &Block, bench: &Bench, home: &Home) -> Command {
    let mut shell = Command::new("bash");
    shell.args(["--norc", "--noprofile", "--noediting", "-i"]);
    as_a_reader(&mut shell, block, bench, home);
    shell.env("PS1", PROMPT).env("PS2", "> ").env("TERM", "dumb");
    shell
}

/// In the source tree, without what is this machine's own. Who builds, builds in the real
/// tree: elsewhere all would be built again.
fn as_a_reader(command: &mut Command, block: &Block, bench: &Bench, home: &Home) {
    let tree = if block.builds() { bench.tree.clone() } else { home.tree() };
    command.env_clear().current_dir(tree);
    for name in INHERITED {
        std::env::var_os(name).map(|value| command.env(name, value));
    }
    if let Some(programs) = &bench.programs {
        command.env("DOCKSTER_PROGRAMS", programs);
    }
    let path = std::env::var_os("PATH").unwrap_or("/usr/bin:/bin".into());
    let dirs = std::iter::once(home.programs()).chain(std::env::split_paths(&path));
    let joined = std::env::join_paths(dirs).unwrap_or(path.clone());
    command.env("PATH", joined).env("HOME", home.path());
    command.env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1");
}

/// What a session has from whoever runs it.
const INHERITED: [&str; 9] = [
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "CARGO_TARGET_DIR",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "DOCKSTER_PROGRAMS",
    "DOCKSTER_TEST_SCALE",
];
