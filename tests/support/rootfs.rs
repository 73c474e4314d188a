//! Small root file systems, made of what the machine has.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::host::find_program;

/// What tests may use inside a root: all of it is in busybox and on every Linux.
const PROGRAMS: &[&str] = &[
    "awk", "base64", "cat", "chmod", "chown", "chroot", "cp", "cut", "date", "dd", "df", "echo",
    "env", "expr", "false", "find", "free", "grep", "head", "hostname", "id", "kill", "ln", "ls",
    "mkdir", "mkfifo", "mknod", "mktemp", "mount", "mv", "nproc", "od", "printf", "ps", "pwd",
    "readlink", "rm", "rmdir", "sed", "seq", "sh", "sleep", "sort", "stat", "stty", "sync", "tail",
    "tar", "tee", "test", "timeout", "touch", "tr", "true", "tty", "umount", "uname", "unshare",
    "wc", "which", "whoami", "yes",
];

/// Makes a small root in `root`: the programs above in `/bin`, `/etc/passwd`, and
/// the usual empty directories.
///
/// From a static busybox where there is one; else from the machine's own programs
/// and their libraries, so that a fresh machine needs nothing installed.
pub fn busybox_rootfs(root: &Path) -> io::Result<()> {
    for dir in ["bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr", "var"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n",
    )?;
    fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\n")?;
    match find_program("busybox") {
        Some(busybox) => {
            copy_program(root, &busybox, "/bin/busybox")?;
            PROGRAMS.iter().try_for_each(|name| symlink("busybox", root.join("bin").join(name)))
        }
        None => PROGRAMS
            .iter()
            .filter_map(|name| Some((name, find_program(name)?)))
            .try_for_each(|(name, program)| copy_program(root, &program, &format!("/bin/{name}"))),
    }
}

/// Copies `program` to the absolute path `to` inside `root`, with the libraries
/// that it is linked to (none when it is static).
pub fn copy_program(root: &Path, program: &Path, to: &str) -> io::Result<()> {
    copy(root, program, to)?;
    // "libc.so.6 => /lib/libc.so.6 (0x7f..)" or "/lib64/ld-linux-x86-64.so.2 (0x7f..)".
    let listed = Command::new("ldd").arg(program).env("LC_ALL", "C").output()?;
    for word in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
        if word.starts_with('/') && !word.ends_with(':') {
            copy(root, Path::new(word), word)?;
        }
    }
    Ok(())
}

fn copy(root: &Path, from: &Path, to: &str) -> io::Result<()> {
    let to = root.join(to.trim_start_matches('/'));
    if to.exists() {
        return Ok(());
    }
    fs::create_dir_all(to.parent().expect("a file's path"))?;
    fs::copy(from, &to)?;
    // Not the original's mode: mount is setuid.
    fs::set_permissions(&to, fs::Permissions::from_mode(0o755))
}
