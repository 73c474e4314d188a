//! The support crate's own tests: that what the suites rely on can fail, too.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use dockster_tests::{
    Failed, Fingerprint, Need, Run, TempDir, Terminal, busybox_rootfs, find_program, host, run,
    trial, wait_until,
};

const SECOND: Duration = Duration::from_secs(1);

fn main() {
    run(vec![
        trial("output_and_status_are_kept", &[], output_and_status_are_kept),
        trial("a_time_limit_ends_children_too", &[], a_time_limit_ends_children_too),
        trial("a_process_left_behind_is_noticed", &[], a_process_left_behind_is_noticed),
        trial("waiting_ends_with_a_reason", &[], waiting_ends_with_a_reason),
        trial("a_terminal_has_size_keys_and_hangup", &[], a_terminal_has_size_keys_and_hangup),
        trial("a_terminal_that_stays_silent_fails", &[], a_terminal_that_stays_silent_fails),
        trial("a_root_works_in_a_user_namespace", &[Need::UserNamespaces], a_root_works),
        trial("a_locked_directory_is_removed", &[], a_locked_directory_is_removed),
        trial(
            "files_of_sub_ids_are_removed",
            &[Need::User, Need::UserNamespaces, Need::IdRanges],
            files_of_sub_ids_are_removed,
        ),
        trial("a_leaked_process_shows", &[], a_leaked_process_shows),
        trial("a_leaked_file_shows", &[], a_leaked_file_shows),
        trial("a_leaked_mount_shows", &[Need::UserNamespaces], a_leaked_mount_shows),
        trial("a_leaked_cgroup_shows", &[Need::Root], a_leaked_cgroup_shows),
    ])
}

/// A shell that runs `script`.
fn sh(script: &str) -> Run {
    Run::new("sh").args(["-c", script])
}

/// The message of what has to be a failure.
fn failure<T>(result: Result<T, Failed>) -> String {
    match result {
        Ok(_) => panic!("it did not fail"),
        Err(failed) => failed.message().unwrap_or("").to_string(),
    }
}

fn output_and_status_are_kept() -> Result<(), Failed> {
    let done = sh("read line; echo $line $RUST_BACKTRACE; echo bad >&2; exit 3")
        .input("hello\n")
        .code(3)?;
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("hello\n", "bad\n"));
    let message = failure(sh("echo said; exit 3").success());
    assert!(message.contains("exit status: 3") && message.contains("said"), "{message}");
    Ok(())
}

fn a_time_limit_ends_children_too() -> Result<(), Failed> {
    let dir = TempDir::new();
    let pid_file = dir.join("pid");
    let script = "sleep 1000 & echo $! >pid; wait";
    let message = failure(sh(script).dir(dir.path()).limit(SECOND / 4).done());
    assert!(message.contains("still running"), "{message}");
    let pid = fs::read_to_string(pid_file)?;
    wait_until("the child is gone", 5 * SECOND, || {
        let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        state.is_empty() || state.contains(") Z")
    })
}

fn a_process_left_behind_is_noticed() -> Result<(), Failed> {
    // It ends by itself soon after.
    let limit = 3 * host().scale;
    let message = failure(sh(&format!("sleep {limit} & echo started")).done());
    assert!(message.contains("left behind") && message.contains("started"), "{message}");
    Ok(())
}

fn waiting_ends_with_a_reason() -> Result<(), Failed> {
    let message = failure(wait_until("pigs fly", Duration::from_millis(20), || false));
    assert!(message.contains("pigs fly"), "{message}");
    wait_until("time passes", SECOND, || true)
}

fn a_terminal_has_size_keys_and_hangup() -> Result<(), Failed> {
    let mut terminal = Terminal::spawn(sh("stty size; cat").into_command(), 30, 90)?;
    terminal.wait_for("30 90")?;
    terminal.type_keys("echo\r")?;
    terminal.wait_for("echo\necho")?;
    terminal.type_keys("\x03")?;
    let status = terminal.finish()?;
    assert!(!status.success(), "Ctrl-C did not end it: {status}");

    let script = "trap 'stty size; exit 7' WINCH; echo ready; while :; do sleep 0.05; done";
    let mut terminal = Terminal::spawn(sh(script).into_command(), 24, 80)?;
    terminal.wait_for("ready")?;
    terminal.resize(40, 100)?;
    terminal.wait_for("40 100")?;
    assert_eq!(terminal.finish()?.code(), Some(7));
    Ok(())
}

fn a_terminal_that_stays_silent_fails() -> Result<(), Failed> {
    let mut terminal = Terminal::spawn(sh("echo something else").into_command(), 24, 80)?;
    let message = failure(terminal.wait_for("this"));
    assert!(message.contains("closed") && message.contains("something else"), "{message}");
    Ok(())
}

fn a_root_works() -> Result<(), Failed> {
    let root = TempDir::new();
    busybox_rootfs(root.path())?;
    let inside =
        "PATH=/bin; ls /etc; id -u; for p in mount ps sleep hostname stty; do which $p; done";
    let chroot = find_program("chroot").ok_or("there is no chroot")?;
    let done = Run::new("unshare")
        .args(["--user", "--map-root-user"])
        .arg(chroot)
        .arg(root.path())
        .args(["/bin/sh", "-c", inside])
        .success()?;
    done.says("passwd\n0\n/bin/mount\n/bin/ps\n/bin/sleep\n/bin/hostname\n/bin/stty\n")?;
    Ok(())
}

fn a_locked_directory_is_removed() -> Result<(), Failed> {
    let dir = TempDir::new();
    let path = dir.path().to_path_buf();
    fs::create_dir(dir.join("locked"))?;
    fs::write(dir.join("locked/file"), "")?;
    fs::set_permissions(dir.join("locked"), fs::Permissions::from_mode(0o000))?;
    if host().root || host().user_namespaces {
        drop(dir);
        assert!(!path.exists());
    } else {
        fs::set_permissions(dir.join("locked"), fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn files_of_sub_ids_are_removed() -> Result<(), Failed> {
    let dir = TempDir::new();
    let path = dir.path().to_path_buf();
    let script = "mkdir d && touch d/f && chmod 700 d && chown 7:7 d d/f";
    Run::new("unshare")
        .args(["--user", "--map-root-user", "--map-auto", "sh", "-c", script])
        .dir(dir.path())
        .success()?;
    assert!(fs::read_dir(dir.join("d")).is_err(), "the directory should be another id's");
    drop(dir);
    assert!(!path.exists());
    Ok(())
}

fn a_leaked_process_shows() -> Result<(), Failed> {
    let dir = TempDir::new();
    let name = dir.path().to_str().expect("a path in UTF-8");
    let before = Fingerprint::of(&[name]);
    let mut leaked = Command::new("sleep").arg("100").env("DOCKSTER_ROOT", name).spawn()?;
    // Between fork and exec the child still has our environment.
    wait_until("the process shows", SECOND, || {
        before.diff(&Fingerprint::of(&[name])).iter().any(|l| l.starts_with("+ process"))
    })?;
    let message = failure(before.unchanged(SECOND / 20));
    assert!(message.contains(&leaked.id().to_string()), "{message}");
    leaked.kill()?;
    leaked.wait()?;
    before.unchanged(SECOND)
}

fn a_leaked_file_shows() -> Result<(), Failed> {
    let name = format!("dockster-leak-{}", std::process::id());
    let before = Fingerprint::of(&[&name]);
    let file = Path::new("/dev/shm").join(&name);
    fs::write(&file, "")?;
    let diff = before.diff(&Fingerprint::of(&[&name]));
    fs::remove_file(&file)?;
    assert_eq!(diff, [format!("+ file {}", file.display())]);
    before.unchanged(SECOND)
}

/// In a mount namespace of another process: so a container's root shows.
fn a_leaked_mount_shows() -> Result<(), Failed> {
    let dir = TempDir::new();
    let name = dir.path().to_str().expect("a path in UTF-8");
    let before = Fingerprint::of(&[name]);
    // Without the name in arguments and environment: only its mounts give it away.
    let script = "mount -t tmpfs none . && cd / && exec sleep 100";
    let mut leaked = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .current_dir(dir.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .spawn()?;
    let seen = wait_until("the process shows", 5 * SECOND, || {
        before.diff(&Fingerprint::of(&[name])).iter().any(|line| line.contains("sleep"))
    });
    leaked.kill()?;
    leaked.wait()?;
    seen?;
    before.unchanged(SECOND)
}

fn a_leaked_cgroup_shows() -> Result<(), Failed> {
    let parent = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].map(Path::new);
    let parent = parent.into_iter().find(|p| p.join("cgroup.procs").exists());
    let Some(parent) = parent else { return Ok(()) };
    let name = format!("dockster-leak-{}", std::process::id());
    let before = Fingerprint::of(&[&name]);
    fs::create_dir(parent.join(&name))?;
    let diff = before.diff(&Fingerprint::of(&[&name]));
    fs::remove_dir(parent.join(&name))?;
    assert_eq!(diff, [format!("+ cgroup {}", parent.join(&name).display())]);
    before.unchanged(SECOND)
}
