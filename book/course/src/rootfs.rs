//! A small root file system, made of what this machine has: offline, and as anybody.
//!
//! One program is enough where there is a busybox. Elsewhere the machine's own `sh`,
//! `ls`, `ps` and so on are copied, each with the libraries that it needs.

mod needs;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::unistd::{AccessFlags, access};

/// What the book uses inside, and what people try.
const PROGRAMS: &[&str] = &[
    "sh",
    "awk",
    "base64",
    "cat",
    "chmod",
    "chown",
    "chroot",
    "cp",
    "cut",
    "date",
    "dd",
    "df",
    "dmesg",
    "du",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "free",
    "getent",
    "grep",
    "head",
    "hostname",
    "id",
    "ip",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mkfifo",
    "mknod",
    "mktemp",
    "more",
    "mount",
    "mountpoint",
    "mv",
    "nproc",
    "od",
    "ping",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "setsid",
    "sleep",
    "sort",
    "stat",
    "stty",
    "sync",
    "tail",
    "tar",
    "tee",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "tty",
    "umount",
    "uname",
    "uniq",
    "unshare",
    "uptime",
    "vi",
    "wc",
    "which",
    "whoami",
    "xargs",
    "yes",
];

const DIRECTORIES: &[&str] = &[
    "bin",
    "dev",
    "etc",
    "home/student",
    "lib",
    "mnt",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr",
    "var",
];

const FILES: &[(&str, &str)] = &[
    ("passwd", "root:x:0:0:root:/root:/bin/sh\nstudent:x:1000:1000::/home/student:/bin/sh\n"),
    ("group", "root:x:0:\ntty:x:5:\nstudent:x:1000:\n"),
    (
        "os-release",
        "NAME=\"A small root\"\nPRETTY_NAME=\"A small root for Dockster\"\nID=dockster\n",
    ),
];

/// Makes it in `dir`, unless it is there already.
///
/// It is made beside and then renamed: what is there is whole.
pub fn make(dir: &Path) -> Result<()> {
    if dir.join("bin/sh").symlink_metadata().is_ok() && dir.join("etc/passwd").is_file() {
        return Ok(());
    }
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} has other things in it: choose another directory", dir.display());
    }
    let dir = std::path::absolute(dir)?;
    let parent = dir.parent().context("/ is a root file system already")?;
    let name = dir.file_name().context("a directory has a name")?.to_string_lossy();
    let new = parent.join(format!(".{name}-{}", std::process::id()));
    let made = fs::create_dir_all(parent).map_err(Into::into).and_then(|()| fill(&new));
    let made = made.and_then(|()| Ok(fs::rename(&new, &dir)?));
    made.map_err(|error| {
        let _ = fs::remove_dir_all(&new);
        error.context(format!("cannot make {}", dir.display()))
    })
}

fn fill(root: &Path) -> Result<()> {
    for name in DIRECTORIES {
        fs::create_dir_all(root.join(name)).with_context(|| format!("mkdir {name}"))?;
    }
    fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    for (name, text) in FILES {
        fs::write(root.join("etc").join(name), text)?;
    }
    match find("busybox") {
        Some(busybox) => with_busybox(root, &busybox),
        None => with_programs(root),
    }
}

/// busybox is every program at once: it looks at the name by which it was called.
fn with_busybox(root: &Path, busybox: &Path) -> Result<()> {
    copy_with_libraries(root, busybox, "busybox")?;
    let listed = Command::new(busybox).arg("--list").output().context("busybox --list")?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for name in listed.lines().filter(|name| !name.is_empty() && *name != "busybox") {
        symlink("busybox", root.join("bin").join(name))?;
    }
    match root.join("bin/sh").exists() {
        true => Ok(()),
        false => bail!("this busybox ({}) has no sh", busybox.display()),
    }
}

fn with_programs(root: &Path) -> Result<()> {
    for name in PROGRAMS {
        match find(name) {
            Some(program) => copy_with_libraries(root, &program, name)?,
            None if *name == "sh" => bail!("there is no sh on this machine"),
            None => {}
        }
    }
    Ok(())
}

/// Copies a program into /bin, and its loader and libraries to where they are here.
/// A script is left out: it would want other programs.
fn copy_with_libraries(root: &Path, program: &Path, name: &str) -> Result<()> {
    let Some(libraries) = needs::libraries(program)? else { return Ok(()) };
    copy(program, &root.join("bin").join(name))?;
    for library in libraries {
        let place = root.join(library.strip_prefix("/").unwrap_or(&library));
        if !place.exists() {
            copy(&library, &place)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    fs::copy(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    // No set-uid bit of the machine's comes along.
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// In PATH or where an ordinary user's PATH often does not lead.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let also = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let executable = |file: &PathBuf| file.is_file() && access(file, AccessFlags::X_OK).is_ok();
    std::env::split_paths(&path).chain(also).map(|dir| dir.join(name)).find(executable)
}
