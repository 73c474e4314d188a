//! `dockster system unit`: for systemd, so that what shall always run does after a new start.

use std::path::Path;

use anyhow::Context;

use super::print;
use crate::rootless;

/// Prints the unit: for the machine's systemd, or for that of an ordinary user.
pub fn unit(root: &Path) -> anyhow::Result<u8> {
    let program = std::env::current_exe().context("/proc/self/exe")?;
    let root = std::path::absolute(root).with_context(|| format!("{root:?}"))?;
    let (file, how, target) = match rootless::needed() {
        true => (
            "~/.config/systemd/user/dockster.service",
            "systemctl --user enable --now dockster; loginctl enable-linger",
            "default.target",
        ),
        false => (
            "/etc/systemd/system/dockster.service",
            "systemctl enable --now dockster",
            "multi-user.target",
        ),
    };
    let (program, root) = (quoted(&program), quoted(&root));
    print(&format!(
        "# dockster system unit > {file}\n\
         # {how}\n\
         [Unit]\n\
         Description=Containers of dockster that shall always run\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         # Containers have cgroups of their own below this unit's.\n\
         Delegate=yes\n\
         # The shims stay when this command has ended, and are not its to kill.\n\
         KillMode=process\n\
         ExecStart={program} --root {root} system start\n\
         \n\
         [Install]\n\
         WantedBy={target}\n"
    ))
}

/// A word of a command line, as systemd.service(5) has it.
fn quoted(path: &Path) -> String {
    let mut word = String::from("\"");
    for letter in path.to_string_lossy().chars() {
        match letter {
            '"' | '\\' => word.extend(['\\', letter]),
            '%' | '$' => word.extend([letter, letter]),
            _ => word.push(letter),
        }
    }
    word + "\""
}
