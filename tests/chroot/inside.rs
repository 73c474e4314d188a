//! What a program finds inside: its own root, and nothing of the host's.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use dockster_tests::{Failed, Fingerprint, Need, Run, TempDir, Terminal, Trial, trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::held::{Held, STAY, steps_of};
use crate::{chroot, root, sh};

const NS: &[Need] = &[Need::UserNamespaces];
const BOTH: [&[&str]; 2] = [&[], &["--no-user"]];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("its_root_is_the_directory", NS, its_root_is_the_directory),
        trial("nothing_of_the_hosts_mounts_is_left", NS, || nothing_of_the_hosts(&[])),
        trial("nothing_of_them_without_a_user_namespace", &[Need::Root], || {
            nothing_of_the_hosts(&["--no-user"])
        }),
        trial("its_namespace_has_no_other_root", NS, no_other_root),
        trial("the_directory_is_as_it_was", NS, the_directory_is_as_it_was),
        trial("devices_work", NS, || devices_work(&[])),
        trial("devices_are_made_without_a_user_namespace", &[Need::Root], || {
            devices_work(&["--no-user"])
        }),
        trial("devpts_is_its_own", NS, devpts_is_its_own),
        trial("the_standard_mounts_have_their_options", NS, the_standard_mounts),
        trial("proc_shows_its_own_processes", NS, proc_shows_its_own),
        trial("what_harms_is_masked", NS, what_harms_is_masked),
        trial("what_acts_is_read_only", NS, what_acts_is_read_only),
        trial("the_umask_is_the_usual_one", NS, the_umask_is_the_usual_one),
        trial("a_link_for_proc_is_refused", NS, a_link_for_proc_is_refused),
        trial("a_link_for_dev_stays_inside", NS, a_link_for_dev_stays_inside),
        trial("a_rootfs_that_is_missing_is_named", NS, a_rootfs_that_is_missing),
        trial("a_rootfs_that_is_a_file_is_named", NS, a_rootfs_that_is_a_file),
        trial("the_program_is_looked_up_inside", NS, looked_up_inside),
        trial("it_never_pivots_the_hosts_mounts", &[Need::Root], never_the_hosts_mounts),
        trial("clocks_can_be_ahead", &[Need::Root], clocks_ahead),
        trial("shared_namespaces_work_or_are_explained", NS, shared_namespaces),
        trial("a_step_that_fails_is_named", NS, each_step_fails),
        trial("killed_at_each_step_nothing_is_left", NS, killed_at_each_step),
        trial("mounts_do_not_come_back_where_root_is_shared", &[Need::Root], shared_root),
        trial("the_hosts_directory_is_hidden_from_an_old_descriptor", NS, no_way_by_descriptor),
    ]
}

fn held(options: &[&str], root: &TempDir) -> Result<Held, Failed> {
    Held::start(sh(options, root, STAY).into_command())
}

fn its_root_is_the_directory() -> Result<(), Failed> {
    let root = root()?;
    fs::write(root.join("etc/mark"), "here")?;
    let done = sh(&[], &root, "cat /etc/mark; pwd; uname -n; cd ../..; pwd").success()?;
    assert_eq!(done.stdout, "here/\n02-chroot\n/\n");
    let held = held(&[], &root)?;
    let inside = fs::metadata(format!("/proc/{}/root", held.inside))?;
    let outside = fs::metadata(root.path())?;
    assert_eq!((inside.dev(), inside.ino()), (outside.dev(), outside.ino()));
    Ok(())
}

fn clocks_ahead() -> Result<(), Failed> {
    let root = root()?;
    let seen = sh(&["--clock-offset", "7"], &root, "cat /proc/self/timens_offsets").success()?;
    let words: Vec<_> = seen.stdout.split_whitespace().collect();
    assert_eq!(words, ["monotonic", "7", "0", "boottime", "7", "0"]);
    Ok(())
}

/// mountinfo: which directory of a file system, where, its options, its type.
fn mounts(held: &Held) -> Result<Vec<[String; 4]>, Failed> {
    let mut mounts = Vec::new();
    for line in held.proc("mountinfo")?.lines() {
        let (place, what) = line.split_once(" - ").ok_or("a line of mountinfo has a dash")?;
        let place: Vec<_> = place.split(' ').collect();
        // Neither shared with anybody nor fed by anybody.
        assert_eq!(place.len(), 6, "{line}");
        let kind = what.split(' ').next().unwrap_or("");
        mounts.push([place[3], place[4], place[5], kind].map(str::to_owned));
    }
    Ok(mounts)
}

fn nothing_of_the_hosts(options: &[&str]) -> Result<(), Failed> {
    let root = root()?;
    let held = held(options, &root)?;
    let expected = |point: &str, kind: &str| match point {
        "/" => true,
        "/proc" => kind == "proc",
        "/sys" => kind == "sysfs",
        "/dev" | "/dev/shm" => kind == "tmpfs",
        "/dev/pts" => kind == "devpts",
        "/dev/mqueue" => kind == "mqueue",
        // Devices that are bound, masks, and what is read-only.
        _ => ["/dev/", "/proc/", "/sys/"].iter().any(|dir| point.starts_with(dir)),
    };
    let mounts = mounts(&held)?;
    for [_, point, _, kind] in &mounts {
        assert!(expected(point, kind), "{kind} on {point}");
    }
    assert_eq!(mounts.iter().filter(|mount| mount[1] == "/").count(), 1);
    // A tmpfs in a mask is new and empty, a device is a device: nothing holds the host's files.
    for [_, point, ..] in &mounts {
        let path = format!("/proc/{}/root{point}", held.inside);
        let found = fs::metadata(&path)?;
        let harmless = point == "/" || found.is_dir() || found.file_type().is_char_device();
        assert!(harmless || point.starts_with("/proc/"), "{point}");
    }
    Ok(())
}

/// Who enters the mount namespace alone gets the root of the namespace, not the one of
/// some process: with a chroot these two differ.
fn no_other_root() -> Result<(), Failed> {
    let root = root()?;
    fs::write(root.join("etc/mark"), "here")?;
    let held = held(&[], &root)?;
    let done = Run::new("nsenter")
        .args(["--user", "--preserve-credentials", "--mount"])
        .arg(format!("--target={}", held.inside))
        .args(["cat", "/etc/mark"])
        .env("PATH", "/usr/bin:/bin")
        .success()?;
    assert_eq!(done.stdout, "here");
    Ok(())
}

/// What is mounted and made is gone with it; only empty places may have been made.
fn the_directory_is_as_it_was() -> Result<(), Failed> {
    let root = root()?;
    sh(&[], &root, "echo mine >/etc/new").success()?;
    assert_eq!(fs::read_to_string(root.join("etc/new"))?, "mine\n");
    for dir in ["dev", "proc", "sys"] {
        assert_eq!(fs::read_dir(root.join(dir))?.count(), 0, "{dir}");
    }
    Ok(())
}

fn devices_work(options: &[&str]) -> Result<(), Failed> {
    let root = root()?;
    let script = "
        echo lost >/dev/null && cat /dev/null
        head -c 3 /dev/zero | od -An -tx1
        echo full 2>&1 >/dev/full
        head -c 8 /dev/urandom | wc -c
        head -c 1 /dev/random | wc -c
        echo through >/dev/stdout
        readlink /dev/fd
        readlink /dev/ptmx
        stat -c '%n %a %t:%T' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty";
    let done = sh(options, &root, script).success()?;
    let text: Vec<_> = done.stdout.lines().map(str::trim).collect();
    assert_eq!(text[0], "00 00 00", "{done:?}");
    assert_eq!(
        &text[text.len() - 6..],
        [
            "/dev/null 666 1:3",
            "/dev/zero 666 1:5",
            "/dev/full 666 1:7",
            "/dev/random 666 1:8",
            "/dev/urandom 666 1:9",
            "/dev/tty 666 5:0",
        ]
    );
    for line in ["8", "1", "through", "/proc/self/fd", "pts/ptmx"] {
        assert!(text.contains(&line), "{line}: {done:?}");
    }
    assert!(done.stdout.contains("space") || done.stderr.contains("space"), "{done:?}");
    Ok(())
}

fn devpts_is_its_own() -> Result<(), Failed> {
    let root = root()?;
    // The first terminal in there is number 0, however many the host has.
    let done = sh(&[], &root, "ls /dev/pts; stat -c %a /dev/pts/ptmx").success()?;
    assert_eq!(done.stdout, "ptmx\n666\n");
    let held = held(&[], &root)?;
    let inside = fs::metadata(format!("/proc/{}/root/dev/pts", held.inside))?;
    assert_ne!(inside.dev(), fs::metadata("/dev/pts")?.dev());
    Ok(())
}

fn the_standard_mounts() -> Result<(), Failed> {
    let root = root()?;
    let held = held(&[], &root)?;
    let mounts = mounts(&held)?;
    let options = |point: &str| {
        let found = mounts.iter().find(|mount| mount[1] == point);
        found.map(|mount| mount[2].clone()).ok_or(format!("nothing on {point}"))
    };
    let wanted = [
        ("/proc", &["nosuid", "nodev", "noexec"][..]),
        ("/sys", &["ro", "nosuid", "nodev", "noexec"]),
        ("/dev", &["nosuid"]),
        ("/dev/pts", &["nosuid", "noexec"]),
        ("/dev/shm", &["nosuid", "nodev", "noexec"]),
        ("/dev/mqueue", &["nosuid", "nodev", "noexec"]),
    ];
    for (point, words) in wanted {
        let has = options(point)?;
        for word in words {
            assert!(has.split(',').any(|w| w == *word), "{point}: {has}");
        }
    }
    assert_eq!(sh(&[], &root, "stat -c %a /dev/shm /tmp").success()?.stdout, "1777\n1777\n");
    Ok(())
}

fn proc_shows_its_own() -> Result<(), Failed> {
    let root = root()?;
    let done =
        sh(&[], &root, "cd /proc; echo [0-9]*; cat /proc/1/cmdline | tr '\\0' ' '").success()?;
    let (pids, rest) = done.stdout.split_once('\n').unwrap_or_default();
    assert_eq!(pids, "1", "{done:?}");
    assert!(rest.starts_with("sh -c"), "{done:?}");
    Ok(())
}

fn what_harms_is_masked() -> Result<(), Failed> {
    let root = root()?;
    let script = "
        for file in kcore keys timer_list interrupts latency_stats sched_debug timer_stats; do
            test ! -e /proc/$file || { stat -c %t:%T /proc/$file; head -c 1 /proc/$file | wc -c; }
        done
        for dir in /proc/acpi /proc/asound /proc/scsi /sys/firmware /sys/devices/virtual/powercap; do
            test ! -d $dir || { ls $dir; touch $dir/x 2>/dev/null && echo writable $dir; }
        done
        true";
    let done = sh(&[], &root, script).success()?;
    assert!(!done.stdout.is_empty(), "this kernel has none of them?");
    // Each is the null device, and empty; each directory is empty.
    assert!(done.stdout.lines().all(|l| l == "1:3" || l == "0"), "{done:?}");
    Ok(())
}

fn what_acts_is_read_only() -> Result<(), Failed> {
    let root = root()?;
    for options in BOTH {
        if !options.is_empty() && !dockster_tests::host().root {
            continue;
        }
        // Nothing is written: a file is only opened for it. (The hostname is our own.)
        let script = "
            for file in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/sys/vm/swappiness; do
                test ! -e $file || ( : >>$file ) 2>/dev/null && test -e $file && echo $file
            done
            mkdir /sys/fs/x 2>/dev/null && echo sys
            true";
        assert_eq!(sh(options, &root, script).success()?.stdout, "", "{options:?}");
    }
    Ok(())
}

fn the_umask_is_the_usual_one() -> Result<(), Failed> {
    let root = root()?;
    let done = Run::new("sh")
        .args(["-c", "umask 0777; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_02-chroot")])
        .arg(root.path())
        .args(["--", "sh", "-c", "umask; stat -c '%a %n' /dev /dev/null /dev/pts /dev/shm"])
        .env("PATH", "/usr/bin:/bin")
        .success()?;
    assert_eq!(done.stdout, "0022\n755 /dev\n666 /dev/null\n755 /dev/pts\n1777 /dev/shm\n");
    Ok(())
}

fn a_link_for_proc_is_refused() -> Result<(), Failed> {
    for name in ["proc", "sys"] {
        let root = root()?;
        fs::remove_dir(root.join(name))?;
        fs::create_dir(root.join("fake"))?;
        symlink("/fake", root.join(name))?;
        let done = sh(&[], &root, "true").code(125)?;
        done.complains(&format!("\"/{name}\" is a symbolic link in this root"))?;
    }
    Ok(())
}

/// A root that comes from a stranger: its links lead where they lead from its own `/`.
fn a_link_for_dev_stays_inside() -> Result<(), Failed> {
    let outside = TempDir::new();
    for target in [outside.path().to_owned(), Path::new("../../../..").join("tmp")] {
        let root = root()?;
        fs::remove_dir(root.join("dev"))?;
        symlink(&target, root.join("dev"))?;
        // Made inside, or refused; in any case nothing comes out.
        let done = sh(&[], &root, "stat -c %t:%T /dev/null").done()?;
        assert!(done.status.code() == Some(125) || done.stdout == "1:3\n", "{done:?}");
        assert_eq!(fs::read_dir(outside.path())?.count(), 0);
    }
    Ok(())
}

fn a_rootfs_that_is_missing() -> Result<(), Failed> {
    let dir = TempDir::new();
    let missing = dir.join("missing");
    let done =
        Run::new(env!("CARGO_BIN_EXE_02-chroot")).arg(&missing).args(["--", "true"]).code(125)?;
    done.complains(&format!("02-chroot: rootfs: stat({missing:?}): ENOENT"))?;
    Run::new(env!("CARGO_BIN_EXE_02-chroot")).args(["--", "true"]).code(125)?;
    // An empty directory is a root all right, but there is nothing to run.
    let done = chroot(&[], &dir).arg("true").env("PATH", "/bin").code(127)?;
    done.complains("execve: \"true\": executable file not found in $PATH")?;
    Ok(())
}

fn a_rootfs_that_is_a_file() -> Result<(), Failed> {
    let dir = TempDir::new();
    fs::write(dir.join("file"), "")?;
    for options in [&[][..], &["--overlay"]] {
        let done = Run::new(env!("CARGO_BIN_EXE_02-chroot"))
            .args(options)
            .arg(dir.join("file"))
            .args(["--", "true"])
            .code(125)?;
        done.complains("02-chroot: rootfs: ")?.complains("file\" is not a directory")?;
    }
    Ok(())
}

fn looked_up_inside() -> Result<(), Failed> {
    let root = root()?;
    fs::write(root.join("bin/only-here"), "#!/bin/sh\necho inside\n")?;
    fs::set_permissions(root.join("bin/only-here"), fs::Permissions::from_mode(0o755))?;
    let run = |name: &str| chroot(&[], &root).arg(name).env("PATH", "/bin");
    assert_eq!(run("only-here").success()?.stdout, "inside\n");
    // The tests' own program exists on the host only.
    run(env!("CARGO_BIN_EXE_02-chroot")).code(127)?;
    run("/etc/passwd").code(126)?;
    Ok(())
}

/// Without a mount namespace of its own, pivot_root would move the whole machine. (Tried in
/// a mount namespace of this test's own.)
fn never_the_hosts_mounts() -> Result<(), Failed> {
    let root = root()?;
    let done = Run::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .args([env!("CARGO_BIN_EXE_02-chroot"), "--no-mount", "--no-user"])
        .arg(root.path())
        .args(["--", "true"])
        .code(125)?;
    assert!(!done.stderr.is_empty());
    Ok(())
}

/// A file system belongs to the user namespace of what it shows: in a new one, the host's
/// processes, network and queues cannot be mounted again. Either a way round is found, or
/// the sentence says which option to leave out.
fn shared_namespaces() -> Result<(), Failed> {
    let root = root()?;
    for option in ["--no-pid", "--no-net", "--no-ipc"] {
        let done = sh(&[option], &root, "true").done()?;
        let explained = done.status.code() == Some(125) && done.stderr.contains(option);
        assert!(done.status.success() || explained, "{option}: {done:?}");
    }
    for option in ["--no-uts", "--no-cgroup", "--time"] {
        sh(&[option], &root, "true").success()?;
    }
    Ok(())
}

fn steps(root: &TempDir) -> Result<Vec<String>, Failed> {
    let done = sh(&["--timings", "--read-only"], root, "true").success()?;
    let mut steps = steps_of(&done.stderr);
    for step in ["rootfs", "mount", "devices", "mask", "pivot_root", "read-only", "execve"] {
        assert!(steps.iter().any(|s| s == step), "no {step} in {steps:?}");
    }
    steps.dedup();
    Ok(steps)
}

fn each_step_fails() -> Result<(), Failed> {
    let root = root()?;
    let before = Fingerprint::of(&[&root.path().to_string_lossy()]);
    for step in steps(&root)? {
        let done = sh(&[&format!("--fail={step}"), "--read-only"], &root, "true").done()?;
        let expected = if step == "execve" { 126 } else { 125 };
        assert_eq!(done.status.code(), Some(expected), "{done:?}");
        done.complains(&format!("02-chroot: {step}: "))?.complains("EIO")?;
        before.unchanged(Duration::from_secs(10))?;
    }
    Ok(())
}

fn killed_at_each_step() -> Result<(), Failed> {
    let root = root()?;
    let before = Fingerprint::of(&[&root.path().to_string_lossy()]);
    for step in steps(&root)? {
        let run = sh(&[&format!("--pause={step}"), "--read-only"], &root, "sleep 1000");
        let mut terminal = Terminal::spawn(run.into_command(), 50, 100)?;
        terminal.wait_for(&format!("Paused before `{step}`"))?;
        terminal.wait_for("Enter goes on")?;
        kill(Pid::from_raw(terminal.pid() as i32), Signal::SIGKILL)?;
        terminal.finish()?;
        before.unchanged(Duration::from_secs(10))?;
    }
    Ok(())
}

fn shared_root() -> Result<(), Failed> {
    let root = root()?;
    for option in ["--no-user", "--read-only"] {
        let script = r#"
            mount --make-rshared / || exit 9
            "$1" "$2" "$3" -- true || exit 8
            grep "$3" /proc/self/mountinfo
            exit 0"#;
        let done = Run::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
            .args([env!("CARGO_BIN_EXE_02-chroot"), option])
            .arg(root.path())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .success()?;
        assert_eq!(done.stdout, "", "{option}");
    }
    Ok(())
}

/// The classic way out of a chroot: a directory from outside, still open, and `..`.
fn no_way_by_descriptor() -> Result<(), Failed> {
    let root = root()?;
    let script =
        r#"exec 5</; exec "$1" "$2" -- sh -c 'ls -d /proc/self/fd/5 2>/dev/null; ls /proc/1/fd'"#;
    let done = Run::new("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_02-chroot")])
        .arg(root.path())
        .env("PATH", "/usr/bin:/bin")
        .done()?;
    assert!(!done.stdout.contains('5'), "{done:?}");
    Ok(())
}
