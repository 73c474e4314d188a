//! The lab holds what is tried in it, and leaves nothing.

use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use dockster_tests::{Failed, Need, Run, TempDir, Terminal, Trial, trial, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{ceiling, namespaces, x};

pub fn trials() -> Vec<Trial> {
    let nested = &[Need::Limits, Need::UserNamespaces];
    vec![
        trial("lab_raw_gives_the_status", namespaces(), gives_the_status),
        trial("lab_raw_keeps_what_it_is_told_to", namespaces(), keeps_descriptors),
        trial("lab_sees_only_itself", namespaces(), sees_only_itself),
        trial("lab_program_is_the_grandchild_of_x", namespaces(), grandchild),
        trial("lab_holds_a_fork_bomb", ceiling(), holds_a_fork_bomb),
        trial("lab_holds_a_memory_eater", ceiling(), holds_a_memory_eater),
        trial("lab_keeps_mounts_to_itself", namespaces(), keeps_mounts),
        trial("lab_dies_with_x", namespaces(), dies_with_x),
        trial("lab_ends_in_time", namespaces(), ends_in_time),
        trial("lab_passes_signals_on", namespaces(), passes_signals_on),
        trial("lab_reaps_orphans", namespaces(), reaps_orphans),
        trial("lab_is_a_shell_in_a_terminal", &[Need::UserNamespaces], is_a_shell),
        trial("lab_is_deleted_whatever_is_in_it", &[Need::UserNamespaces], is_deleted),
        trial("lab_has_room_for_cgroups", nested, has_room_for_cgroups),
        trial("lab_leaves_no_cgroup", namespaces(), leaves_no_cgroup),
        trial("lab_has_containers_of_its_own", &[Need::UserNamespaces], own_containers),
    ]
}

/// The sandbox alone, around `sh -c SCRIPT`, in this directory.
fn raw(dir: &TempDir, script: &str) -> Run {
    let dir = dir.path().to_str().expect("a path in UTF-8");
    x(&["lab", "01", "--raw", "--scratch", dir, "--", "sh", "-c", script])
}

fn gives_the_status() -> Result<(), Failed> {
    let dir = TempDir::new();
    let done = raw(&dir, "exit 7").code(7)?;
    assert_eq!(done.stdout + &done.stderr, "");
    raw(&dir, "kill -9 $$").code(137)?;
    raw(&dir, "kill -40 $$").code(168)?;
    x(&["lab", "01", "--raw", "--", "/nonexistent"]).code(127)?;
    x(&["lab", "01", "--raw", "--", "/etc/passwd"]).code(126)?;
    Ok(())
}

fn keeps_descriptors() -> Result<(), Failed> {
    let dir = TempDir::new();
    // Ours close on exec: a shell opens two that do not.
    let script = "exec 8>kept 9>not; \
                  exec \"$0\" lab 01 --raw --scratch . --keep 8 -- sh -c \
                  'echo \"$WORD\" >&8; [ -e /proc/self/fd/9 ] || echo closed; pwd; cat'";
    let done = Run::new("sh")
        .args(["-c", script, super::X])
        .dir(dir.path())
        .env("WORD", "a word")
        .input("typed\n")
        .success()?;
    assert_eq!(fs::read_to_string(dir.join("kept"))?, "a word\n");
    let here = dir.path().canonicalize()?;
    assert_eq!(done.stdout, format!("closed\n{}\ntyped\n", here.display()));
    Ok(())
}

fn sees_only_itself() -> Result<(), Failed> {
    let dir = TempDir::new();
    let script = "hostname; id -u; echo $$; ls /sys/class/net; cat /sys/class/net/lo/flags; \
                  set -- /proc/[0-9]*; echo $#";
    let done = raw(&dir, script).success()?;
    assert_eq!(done.stdout, "lab\n0\n2\nlo\n0x9\n2\n", "{}", done.stderr);
    Ok(())
}

/// A checker finds the learner's program by this.
fn grandchild() -> Result<(), Failed> {
    let dir = TempDir::new();
    let x = start(raw(&dir, "exec sleep 1000"))?;
    let mut seen = String::new();
    wait_until("the program is there", Duration::from_secs(10), || {
        let program = children(x.id()).iter().flat_map(|init| children(*init)).next();
        let words = program.map(|pid| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default());
        seen = String::from_utf8_lossy(&words.unwrap_or_default()).replace('\0', " ");
        seen == "sleep 1000 "
    })?;
    end(x, Signal::SIGTERM)?;
    Ok(())
}

fn holds_a_fork_bomb() -> Result<(), Failed> {
    let dir = TempDir::new();
    // At the end nothing can be started any more: a shell counts by itself.
    let script = "(i=0; while [ $i -lt 400 ]; do sleep 1000 & i=$((i+1)); done) 2>/dev/null; \
                  set -- /proc/[0-9]*; echo $#";
    let done = raw(&dir, script).limit(Duration::from_secs(60)).success()?;
    let count: u32 = done.stdout.trim().parse().map_err(|_| done.failed("no number"))?;
    if !(200..=256).contains(&count) {
        return Err(done.failed("the ceiling is 256 processes"));
    }
    Ok(())
}

fn holds_a_memory_eater() -> Result<(), Failed> {
    let dir = TempDir::new();
    let script = r#"awk 'BEGIN { s = "x"; while (1) s = s s }' 2>/dev/null; echo $?"#;
    let done = raw(&dir, script).limit(Duration::from_secs(60)).success()?;
    match done.stdout.trim() {
        "0" | "" => Err(done.failed("nothing has stopped it")),
        _ => Ok(()),
    }
}

fn keeps_mounts() -> Result<(), Failed> {
    let dir = TempDir::new();
    let mounts = || fs::read_to_string("/proc/self/mountinfo").map(|text| text.lines().count());
    let before = mounts()?;
    let script = "mkdir m && mount -t tmpfs none m && grep -c \"$PWD/m \" /proc/mounts && \
                  touch m/file && sleep 1000";
    let mut x = start(raw(&dir, script))?;
    wait_for_line(&mut x, "1\n")?;
    assert_eq!(mounts()?, before);
    assert!(!dir.join("m/file").exists());
    end(x, Signal::SIGKILL)?;
    assert_eq!(mounts()?, before);
    Ok(())
}

/// Even killed so that it can do nothing about it.
fn dies_with_x() -> Result<(), Failed> {
    let dir = TempDir::new();
    // A session of its own is what a daemon makes, to outlive what has started it.
    let mark = format!("1000.{}", std::process::id());
    let script = format!("setsid sleep {mark} & sleep {mark} & sh -c 'sleep {mark}' & wait");
    let x = start(raw(&dir, &script))?;
    let limit = Duration::from_secs(10);
    wait_until("all three sleep", limit, || running(&mark) == 3)?;
    end(x, Signal::SIGKILL)?;
    wait_until("none is left", limit, || running(&mark) == 0)
}

fn ends_in_time() -> Result<(), Failed> {
    let done =
        x(&["lab", "01", "--raw", "--seconds", "1", "--", "sh", "-c", "sleep 1000 & sleep 1000"])
            .code(124)?;
    done.complains("the lab's time is over (1 s)")?;
    Ok(())
}

fn passes_signals_on() -> Result<(), Failed> {
    let dir = TempDir::new();
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut x = start(raw(&dir, script))?;
    wait_for_line(&mut x, "ready\n")?;
    assert_eq!(end(x, Signal::SIGTERM)?, 9);
    Ok(())
}

fn reaps_orphans() -> Result<(), Failed> {
    let dir = TempDir::new();
    // Its parent is gone at once, and so PID 1 is its parent when it ends.
    let script = "(sh -c 'echo $$ > orphan' &); \
                  until [ -s orphan ] && [ ! -e /proc/$(cat orphan) ]; do sleep 0.01; done";
    raw(&dir, script).success()?;
    Ok(())
}

fn is_a_shell() -> Result<(), Failed> {
    let temp = TempDir::new();
    let command = x(&["lab", "02"]).env("TMPDIR", temp.path()).into_command();
    let mut terminal = Terminal::spawn(command, 24, 80)?;
    terminal.wait_for("(lab 02) # ")?;
    let screen = terminal.screen();
    assert!(screen.contains("Lab 02: at most "), "{screen}");
    assert!(screen.contains("Leave it with exit"), "{screen}");
    assert!(screen.contains("512 MiB") && screen.contains("30 minutes"), "{screen}");
    terminal.type_keys("ls; 02-chroot rootfs -- hostname\r")?;
    terminal.wait_until("the container is there", |screen| {
        screen.contains("rootfs\n") && screen.contains("\n02-chroot\n")
    })?;
    terminal.type_keys("exit 3\r")?;
    let status = terminal.finish()?;
    assert_eq!(status.code(), Some(3), "{}", terminal.transcript());
    assert_eq!(entries(temp.path()), Vec::<String>::new());
    Ok(())
}

/// Files of other owners, and a directory that nobody may read.
fn is_deleted() -> Result<(), Failed> {
    let temp = TempDir::new();
    let script = "mkdir -p a/b && touch a/b/c && chmod 0 a/b a; \
                  02-chroot rootfs -- sh -c 'mkdir /d; touch /d/e; chown -R 7 /d' || true";
    let done = x(&["lab", "02", "--", "sh", "-c", script]).env("TMPDIR", temp.path()).success()?;
    if !entries(temp.path()).is_empty() {
        return Err(done.failed("the scratch directory is left"));
    }
    Ok(())
}

/// A lab for chapter 3: the learner's own cgroups lie below the lab's.
fn has_room_for_cgroups() -> Result<(), Failed> {
    let temp = TempDir::new();
    let script = "03-cgroups --memory 64m --pids 20 rootfs -- hostname && \
                  find /sys/fs/cgroup -name 'dockster-03' | wc -l";
    let done = x(&["lab", "03", "--", "sh", "-c", script]).env("TMPDIR", temp.path()).success()?;
    assert_eq!(done.stdout, "03-cgroups\n0\n", "{}", done.stderr);
    // Its limit holds, inside the lab's.
    let eater = "03-cgroups --memory 32m rootfs -- \
                 sh -c 'head -c 100m /dev/zero | tail -c 90m > /dev/null'";
    let done = x(&["lab", "03", "--", "sh", "-c", eater]).env("TMPDIR", temp.path()).done()?;
    done.complains("killed by the memory limit of 33554432 bytes")?;
    Ok(())
}

fn leaves_no_cgroup() -> Result<(), Failed> {
    let dir = TempDir::new();
    let mut x = start(raw(&dir, "echo ready; sleep 1000"))?;
    wait_for_line(&mut x, "ready\n")?;
    let name = format!("dockster-lab/{}", x.id());
    end(x, Signal::SIGTERM)?;
    let found = Run::new("find").args(["/sys/fs/cgroup", "-path", &format!("*/{name}*")]).done()?;
    assert_eq!(found.stdout, "");
    Ok(())
}

/// A lab for chapter 5: what runs in there is noted in there.
fn own_containers() -> Result<(), Failed> {
    let temp = TempDir::new();
    let name = temp.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let script = format!(
        "05-lifecycle run --name {name} rootfs -- hostname && \
         (05-lifecycle run --name {name} rootfs -- sh -c 'sleep 1000' &) && \
         until 05-lifecycle list | grep -q ' running '; do sleep 0.1; done; \
         ls /run /run/05-lifecycle"
    );
    let done = x(&["lab", "05", "--", "sh", "-c", &script]).env("TMPDIR", temp.path()).success()?;
    let listed = format!("05-lifecycle\n/run:\n05-lifecycle\n\n/run/05-lifecycle:\n{name}\n");
    assert_eq!(done.stdout, listed, "{}", done.stderr);
    assert!(!Path::new("/run/05-lifecycle").join(&name).exists());
    let found = Run::new("find").args(["/sys/fs/cgroup", "-name", &format!("*{name}*")]).done()?;
    assert_eq!(found.stdout, "", "a cgroup is left");
    Ok(())
}

/// In the background, its output in a pipe.
pub(super) fn start(run: Run) -> Result<Child, Failed> {
    let mut command = run.into_command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    Ok(command.spawn()?)
}

/// Waits for its first output, which is this.
pub(super) fn wait_for_line(x: &mut Child, line: &str) -> Result<(), Failed> {
    let pipe = x.stdout.as_mut().ok_or("no pipe")?;
    nix::fcntl::fcntl(&*pipe, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
        .map_err(|errno| format!("fcntl({}): {errno}", pipe.as_raw_fd()))?;
    let (mut said, mut closed) = (Vec::new(), false);
    wait_until(&format!("it says {line:?}"), Duration::from_secs(20), || {
        let mut bytes = [0; 64];
        match pipe.read(&mut bytes) {
            Ok(0) => closed = true,
            Ok(length) => said.extend(&bytes[..length]),
            Err(_) => {}
        }
        closed || said == line.as_bytes()
    })?;
    let said = String::from_utf8_lossy(&said);
    if said == line { Ok(()) } else { Err(format!("it said {said:?}, and ended").into()) }
}

/// Sends it a signal and waits; its status, or 128 and the signal.
pub(super) fn end(mut x: Child, signal: Signal) -> Result<i32, Failed> {
    kill(Pid::from_raw(x.id() as i32), signal)?;
    let status = x.wait()?;
    Ok(status.code().or(status.signal().map(|number| 128 + number)).unwrap_or(-1))
}

fn children(pid: impl std::fmt::Display) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// How many processes on this machine are `sleep MARK`.
fn running(mark: &str) -> usize {
    let wanted = format!("sleep\0{mark}\0").into_bytes();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter(|p| fs::read(p.path().join("cmdline")).is_ok_and(|w| w == wanted)).count()
}

fn entries(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
