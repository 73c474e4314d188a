//! Catalogue: not needed to understand the chapter.
//!
//! A cgroup for somebody who has none: `systemd-run --user --scope`.
//!
//! Where an ordinary user logs in through systemd, the user's own service
//! manager can delegate a cgroup. It has to contain the process from the start,
//! so the program is started again, inside: same arguments, same terminal.

use std::env::{args_os, var_os};
use std::path::Path;
use std::process::Command;

/// Set in a program that was started again, so that it happens only once.
const MARK: &str = "DOCKSTER_SCOPE";

/// The command that runs this same program with its arguments in a delegated
/// scope of its own; `None` where there is no service manager to ask, or when
/// this program runs in such a scope already. Execute it instead of going on:
///
/// ```no_run
/// # use std::os::unix::process::CommandExt;
/// # let (hierarchy, limits) = (ch03_cgroups::Hierarchy::probe()?, ch03_cgroups::Limits::default());
/// if limits != Default::default() && !hierarchy.delegated() {
///     if let Some(mut command) = ch03_cgroups::scope::delegated_scope() {
///         return Err(command.exec().into()); // it returns only if it fails
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn delegated_scope() -> Option<Command> {
    let manager = Path::new(&var_os("XDG_RUNTIME_DIR")?).join("systemd/private");
    let installed =
        std::env::split_paths(&var_os("PATH")?).any(|dir| dir.join("systemd-run").exists());
    if var_os(MARK).is_some() || !installed || !manager.exists() {
        return None;
    }
    let mut command = Command::new("systemd-run");
    command
        .args(["--user", "--scope", "--quiet", "--collect", "--property=Delegate=yes", "--"])
        .arg(std::env::current_exe().ok()?)
        .args(args_os().skip(1))
        .env(MARK, "1");
    Some(command)
}
