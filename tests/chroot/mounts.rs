//! Volumes, tmpfs and a read-only root.

use std::fs;
use std::os::unix::fs::symlink;

use dockster_tests::{Failed, Need, Run, TempDir, Trial, trial};

use crate::{root, sh};

const NS: &[Need] = &[Need::UserNamespaces];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a_volume_shows_a_directory_of_the_host", NS, a_volume_shows),
        trial("a_volume_can_be_a_file", NS, a_volume_can_be_a_file),
        trial("a_read_only_volume_is_so_all_the_way_down", &[Need::Root], || {
            read_only_recursive(&[])
        }),
        trial("a_users_read_only_volume_is_so_all_the_way_down", NS, || {
            read_only_recursive(&["--user", "--map-root-user"])
        }),
        trial("a_read_only_volume_of_a_user", NS, read_only_volume),
        trial("a_volumes_target_is_made", NS, a_volumes_target_is_made),
        trial("a_volume_over_proc_is_refused", NS, a_volume_over_proc),
        trial("a_volume_at_a_link_stays_inside", NS, a_volume_at_a_link),
        trial("volumes_that_make_no_sense_are_125", NS, volumes_that_make_no_sense),
        trial("a_tmpfs_has_docker_s_options", NS, a_tmpfs_has_options),
        trial("a_read_only_root_is_read_only", NS, a_read_only_root),
    ]
}

fn volume(source: &std::path::Path, rest: &str) -> String {
    format!("--volume={}:{rest}", source.display())
}

fn a_volume_shows() -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    fs::write(data.join("file"), "from the host\n")?;
    let volume = volume(data.path(), "/mnt/data");
    let done = sh(&[&volume], &root, "cat /mnt/data/file; echo back >/mnt/data/new").success()?;
    assert_eq!(done.stdout, "from the host\n");
    assert_eq!(fs::read_to_string(data.join("new"))?, "back\n");
    Ok(())
}

fn a_volume_can_be_a_file() -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    fs::write(data.join("file"), "one\n")?;
    let volume = volume(&data.join("file"), "/etc/deep/er/file");
    assert_eq!(sh(&[&volume], &root, "cat /etc/deep/er/file").success()?.stdout, "one\n");
    assert_eq!(fs::read_to_string(root.join("etc/deep/er/file"))?, "");
    Ok(())
}

/// With a file system mounted below the volume, in a mount namespace of this test's own.
fn read_only_recursive(options: &[&str]) -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    fs::create_dir(data.join("below"))?;
    let script = r#"
        mount -t tmpfs none "$3/below" || exit 9
        exec "$1" $4 -v "$3:/data:ro" "$2" -- sh -c '
            touch /data/x 2>/dev/null && echo /data
            touch /data/below/x 2>/dev/null && echo /data/below
            true'"#;
    let run = |option: &str| {
        Run::new("unshare")
            .args(options)
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
            .arg(env!("CARGO_BIN_EXE_02-chroot"))
            .args([root.path(), data.path()])
            .arg(option)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .success()
    };
    assert_eq!(run("")?.stdout, "");
    assert_eq!(run("--no-user")?.stdout, "");
    Ok(())
}

fn read_only_volume() -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    let volume = volume(data.path(), "/data:ro");
    // (It may be mounted writable again by whoever is root inside: chapter 7 takes that away.)
    let done = sh(&[&volume], &root, "touch /data/x").done()?;
    assert!(!done.status.success(), "{done:?}");
    done.complains("Read-only file system")?;
    assert_eq!(fs::read_dir(data.path())?.count(), 0);
    Ok(())
}

fn a_volumes_target_is_made() -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    let volume = volume(data.path(), "/a/b/../c/d");
    // Lexically odd, but it is inside: what counts is where it is.
    let done = sh(&[&volume], &root, "true").done()?;
    assert!([Some(0), Some(125)].contains(&done.status.code()), "{done:?}");
    assert!(!data.path().parent().unwrap().join("c").exists());
    Ok(())
}

fn a_volume_over_proc() -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    fs::write(data.join("file"), "")?;
    for target in ["/proc/sys/kernel/hostname", "/proc/self/attr", "/proc/./sys", "/etc/../proc/fs"]
    {
        let source = if target.ends_with("name") { data.join("file") } else { data.path().into() };
        let done = sh(&[&volume(&source, target)], &root, "true").code(125)?;
        done.complains("lies in /proc: nothing is mounted there")?;
    }
    Ok(())
}

/// The volume's target is a link that somebody put into the root.
fn a_volume_at_a_link() -> Result<(), Failed> {
    let (root, data, outside) = (root()?, TempDir::new(), TempDir::new());
    fs::write(data.join("file"), "volume\n")?;
    symlink(outside.path(), root.join("absolute"))?;
    symlink(format!("../../../../../..{}", outside.path().display()), root.join("dotted"))?;
    for name in ["absolute", "dotted"] {
        let volume = volume(data.path(), &format!("/{name}/new"));
        let done = sh(&[&volume], &root, &format!("cat /{name}/new/file")).done()?;
        // Where the link leads inside is missing, so this is refused or made inside.
        assert!(done.status.code() == Some(125) || done.stdout == "volume\n", "{done:?}");
        assert_eq!(fs::read_dir(outside.path())?.count(), 0, "{name}");
    }
    Ok(())
}

fn volumes_that_make_no_sense() -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    let source = data.path().display();
    let wrong = [
        format!("{source}"),
        format!("{source}:relative"),
        format!("{source}:/x:nonsense"),
        format!("{source}:/x:ro:ro"),
        ":/x".to_owned(),
    ];
    for text in &wrong {
        sh(&["-v", text], &root, "true").code(125)?.complains("a volume is SOURCE:TARGET[:ro]")?;
    }
    let done = sh(&["-v", &format!("{source}/missing:/x")], &root, "true").code(125)?;
    done.complains("02-chroot: mount: ")?
        .complains("ENOENT")?
        .complains("has to exist on the host")?;
    sh(&["--tmpfs", "relative"], &root, "true").code(125)?.complains("a tmpfs is TARGET")?;
    let done = sh(&["--tmpfs", "/t:size=nonsense"], &root, "true").code(125)?;
    done.complains("02-chroot: mount: ")?.complains("size=nonsense")?;
    Ok(())
}

fn a_tmpfs_has_options() -> Result<(), Failed> {
    let root = root()?;
    let script = "grep ' /t ' /proc/self/mountinfo; stat -c %a /t";
    let done = sh(&["--tmpfs", "/t:size=64k,mode=700,exec"], &root, script).success()?;
    let line = done.stdout.lines().next().unwrap_or("");
    let options = line.split(' ').nth(5).unwrap_or("");
    assert!(options.contains("nosuid") && options.contains("nodev"), "{line}");
    assert!(!options.contains("noexec") && line.contains("size=64k"), "{line}");
    assert!(done.stdout.ends_with("\n700\n"), "{done:?}");

    let full = "head -c 100000 /dev/zero >/t/big && echo fits";
    assert_eq!(sh(&["--tmpfs", "/t:size=64k"], &root, full).done()?.stdout, "");
    let done = sh(&["--tmpfs", "/t"], &root, script).success()?;
    assert!(done.stdout.contains("noexec") && done.stdout.contains("\n1777\n"), "{done:?}");
    let read_only = sh(&["--tmpfs", "/t:ro"], &root, "touch /t/x").done()?;
    assert!(!read_only.status.success(), "{read_only:?}");
    assert_eq!(fs::read_dir(root.join("t"))?.count(), 0);
    Ok(())
}

fn a_read_only_root() -> Result<(), Failed> {
    let root = root()?;
    let script = "
        touch /x 2>/dev/null && echo root
        touch /dev/shm/x && touch /t/x && echo the rest
        true";
    let done = sh(&["--read-only", "--tmpfs=/t"], &root, script).success()?;
    assert_eq!(done.stdout, "the rest\n");
    Ok(())
}
