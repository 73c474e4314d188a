//! `cargo x rootfs`: a root that containers run in, whatever the machine has.

use std::fs;
use std::time::Duration;

use dockster_tests::{Failed, Need, Run, TempDir, Trial, find_program, trial};

use super::x;

pub fn trials() -> Vec<Trial> {
    let masked = &[Need::UserNamespaces, Need::Program("unshare")];
    vec![
        trial("rootfs_is_made_once", &[], is_made_once),
        trial("rootfs_is_a_root", &[Need::UserNamespaces], is_a_root),
        trial("rootfs_does_without_busybox", masked, does_without_busybox),
        trial("rootfs_spares_other_things", &[], spares_other_things),
        trial("rootfs_goes_where_one_may_write", &[Need::User], goes_where_one_may_write),
    ]
}

fn is_made_once() -> Result<(), Failed> {
    let dir = TempDir::new();
    let first = x(&["rootfs", "r"]).dir(dir.path()).success()?;
    assert_eq!(first.stdout, "r\n");
    fs::write(dir.join("r/mine"), "")?;
    assert_eq!(x(&["rootfs", "r"]).dir(dir.path()).success()?.stdout, "r\n");
    assert!(dir.join("r/mine").exists());
    let names = fs::read_dir(dir.path())?.count();
    assert_eq!(names, 1, "nothing is left beside it");
    Ok(())
}

fn is_a_root() -> Result<(), Failed> {
    let dir = TempDir::new();
    x(&["rootfs", "r"]).dir(dir.path()).success()?;
    try_it(&dir)
}

fn try_it(dir: &TempDir) -> Result<(), Failed> {
    let script = "set -e; id -un; ls / | grep -c -e bin -e etc -e proc; ps > /dev/null; \
                  mount > /dev/null; cat /etc/passwd | grep -c student; mkdir -p /tmp/a; \
                  touch /tmp/a/b; rm -r /tmp/a; readlink /proc/self > /dev/null; hostname";
    let done = x(&["run", "02", "--", "r", "--", "sh", "-c", script]).dir(dir.path()).success()?;
    assert_eq!(done.stdout, "root\n3\n1\n02-chroot\n", "{}", done.stderr);
    Ok(())
}

/// In a mount namespace where there is none.
fn does_without_busybox() -> Result<(), Failed> {
    let dir = TempDir::new();
    let hide = match find_program("busybox") {
        Some(file) => format!("mount --bind /dev/null {} && ", file.display()),
        None => String::new(),
    };
    let script = format!("{hide}exec {} rootfs r", super::X);
    Run::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .dir(dir.path())
        .limit(Duration::from_secs(60))
        .success()?;
    assert!(!dir.join("r/bin/busybox").exists());
    try_it(&dir)
}

fn spares_other_things() -> Result<(), Failed> {
    let dir = TempDir::new();
    fs::write(dir.join("letter"), "dear")?;
    let path = dir.path().to_str().expect("a path in UTF-8");
    x(&["rootfs", path]).code(125)?.complains("has other things in it")?;
    assert_eq!(fs::read_dir(dir.path())?.count(), 1);
    // An empty one is as good as none.
    fs::create_dir(dir.join("empty"))?;
    x(&["rootfs", "empty"]).dir(dir.path()).success()?;
    assert!(dir.join("empty/etc/group").exists());
    Ok(())
}

fn goes_where_one_may_write() -> Result<(), Failed> {
    let dir = TempDir::new();
    fs::create_dir_all(dir.join("tree/chapters"))?;
    fs::create_dir_all(dir.join("tree/book"))?;
    let made = |mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(dir.join("tree"), fs::Permissions::from_mode(mode))?;
        let run = x(&["rootfs"]).dir(dir.join("tree")).env("XDG_CACHE_HOME", dir.join("cache"));
        Ok::<_, Failed>(run.success()?.stdout)
    };
    let cached = dir.join("cache/dockster/rootfs");
    assert_eq!(made(0o555)?, format!("{}\n", cached.display()));
    assert!(cached.join("bin/sh").exists());
    assert_eq!(made(0o755)?, "target/rootfs\n");
    Ok(())
}
