//! Chapter 3 from outside: the program `03-cgroups`. (Its library is tested in tests/cgroups.)

#[path = "../clone/held.rs"]
mod held;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dockster_tests::{
    Cgroups, Failed, Fingerprint, Need, Run, TempDir, Terminal, busybox_rootfs, host, run, trial,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use held::{Held, STAY, steps_of};

const NS: &[Need] = &[Need::UserNamespaces];
const LIMITS: &[Need] = &[Need::UserNamespaces, Need::Limits];
const SECONDS: Duration = Duration::from_secs(10);

fn main() {
    run(vec![
        trial("without_limits_it_runs_anywhere", NS, without_limits),
        trial("limits_reach_the_kernel", LIMITS, limits_reach_the_kernel),
        trial("it_is_born_in_its_cgroup", LIMITS, it_is_born_in_its_cgroup),
        trial("memory_over_the_limit_is_killed_and_reported", LIMITS, memory_is_reported),
        trial("a_fork_bomb_stops_at_the_limit_and_is_reported", LIMITS, pids_are_reported),
        trial("the_exit_status_is_the_programs", LIMITS, the_exit_status),
        trial("what_is_left_inside_is_killed", &[Need::Root, Need::Limits], what_is_left_inside),
        trial("without_delegation_a_sentence_says_what_to_do", &[Need::User], no_delegation),
        trial("wrong_limits_are_125", NS, wrong_limits),
        trial("a_step_that_fails_leaves_nothing", LIMITS, each_step_fails),
        trial("ctrl_c_at_a_step_leaves_nothing", LIMITS, ctrl_c_leaves_nothing),
        trial("killed_at_each_step_no_process_is_left", LIMITS, killed_at_each_step),
        trial("the_next_one_clears_what_a_killed_one_left", LIMITS, left_is_cleared),
        trial("it_never_pivots_the_hosts_mounts", &[Need::Root], never_the_hosts_mounts),
        trial("clocks_can_be_ahead", &[Need::Root], clocks_ahead),
        trial("two_at_once_do_not_meet", LIMITS, two_at_once),
    ])
}

fn root() -> Result<TempDir, Failed> {
    let root = TempDir::new();
    busybox_rootfs(root.path())?;
    Ok(root)
}

fn sh(options: &[&str], root: &TempDir, script: &str) -> Run {
    Run::new(env!("CARGO_BIN_EXE_03-cgroups"))
        .args(options)
        .arg(root.path())
        .args(["--", "sh", "-c", script])
        .env("PATH", "/usr/bin:/bin")
        .limit(Duration::from_secs(60))
}

fn clocks_ahead() -> Result<(), Failed> {
    let root = root()?;
    let seen = sh(&["--clock-offset", "7"], &root, "cat /proc/self/timens_offsets").success()?;
    let words: Vec<_> = seen.stdout.split_whitespace().collect();
    assert_eq!(words, ["monotonic", "7", "0", "boottime", "7", "0"]);
    Ok(())
}

/// All directories under /sys/fs/cgroup whose last name is this.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            // A symlink is a second name (cpu -> cpu,cpuacct).
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name() == *name {
                    found.push(entry.path());
                }
                todo.push(entry.path());
            }
        }
    }
    found
}

/// A running program that has a cgroup, which is gone in the end even if the test fails.
struct Limited(Held);

impl Limited {
    fn start(run: Run) -> Result<Limited, Failed> {
        Held::start(run.into_command()).map(Limited)
    }

    /// Its directories, in all hierarchies.
    fn cgroups(&self) -> Vec<PathBuf> {
        cgroups(&format!("03-cgroups-{}", self.0.pid()))
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        self.0.kill();
        if let Err(error) = remove(&self.cgroups()) {
            eprintln!("{}", error.message().unwrap_or_default());
        }
    }
}

/// The value in the first of these files that the cgroup has in one of its directories.
fn value(dirs: &[PathBuf], files: &[&str]) -> Result<String, Failed> {
    let paths = files.iter().flat_map(|file| dirs.iter().map(move |dir| dir.join(file)));
    let text = paths.map(fs::read_to_string).find_map(Result::ok);
    text.map(|text| text.trim().to_owned()).ok_or(format!("none of {files:?} in {dirs:?}").into())
}

fn without_limits() -> Result<(), Failed> {
    let root = root()?;
    let done = sh(&[], &root, "uname -n; exit 3").code(3)?;
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("03-cgroups\n", ""));
    Ok(())
}

fn limits_reach_the_kernel() -> Result<(), Failed> {
    let root = root()?;
    let options = ["--memory", "64m", "--pids", "32", "--cpus", "0.5"];
    let mut held = Limited::start(sh(&options, &root, STAY))?;
    let dirs = held.cgroups();
    assert_eq!(value(&dirs, &["memory.max", "memory.limit_in_bytes"])?, "67108864");
    assert_eq!(value(&dirs, &["pids.max"])?, "32");
    match host().cgroups {
        Cgroups::V2 => assert_eq!(value(&dirs, &["cpu.max"])?, "50000 100000"),
        _ => {
            assert_eq!(value(&dirs, &["cpu.cfs_quota_us"])?, "50000");
            assert_eq!(value(&dirs, &["cpu.cfs_period_us"])?, "100000");
        }
    }
    assert_eq!(held.0.finish()?.0.code(), Some(7));
    assert_eq!(held.cgroups(), Vec::<PathBuf>::new());
    Ok(())
}

fn it_is_born_in_its_cgroup() -> Result<(), Failed> {
    let root = root()?;
    let held = Limited::start(sh(&["--pids", "32"], &root, STAY))?;
    let name = format!("/03-cgroups-{}", held.0.pid());
    let lines = held.0.proc("cgroup")?;
    let v2 = lines.lines().filter(|line| line.starts_with("0::"));
    let pids = lines.lines().filter(|line| line.split(':').nth(1) == Some("pids"));
    let both: Vec<_> = v2.chain(pids).collect();
    assert!(!both.is_empty() && both.iter().all(|line| line.ends_with(&name)), "{lines}");
    for dir in held.cgroups() {
        let inside = fs::read_to_string(dir.join("cgroup.procs"))?;
        assert_eq!(inside.trim(), held.0.inside.to_string(), "{}", dir.display());
    }
    // Seen from inside it is the root (version 1 hierarchies included).
    let done = sh(&["--pids", "32"], &root, "cat /proc/self/cgroup").success()?;
    assert!(!done.stdout.contains("03-cgroups-"), "{done:?}");
    Ok(())
}

/// A program in the root that wants this much memory, whatever the machine has.
const EATER: &str = "head -c 200m /dev/zero | tail -c 200m | wc -c; exit 5";

fn memory_is_reported() -> Result<(), Failed> {
    let root = root()?;
    let done = sh(&["--memory", "32m", "--memory-swap", "32m"], &root, EATER).code(5)?;
    done.complains("killed by the memory limit of 33554432 bytes")?;
    assert!(!done.stdout.contains("209715200"), "{done:?}");
    // PID 1 itself is killed when it is the eater: 128 and SIGKILL.
    let awk = "BEGIN { s = \"0123456789abcdef\"; while (length(s) < 200000000) s = s s }";
    let done = Run::new(env!("CARGO_BIN_EXE_03-cgroups"))
        .args(["--memory", "32m", "--memory-swap", "32m"])
        .arg(root.path())
        .args(["--", "awk", awk])
        .env("PATH", "/usr/bin:/bin")
        .code(137)?;
    done.complains("03-cgroups: 1 killed by the memory limit of 33554432 bytes")?;
    // With enough of it nothing is said.
    let done = sh(&["--memory", "64m"], &root, "exit 4").code(4)?;
    assert_eq!(done.stderr, "");
    Ok(())
}

fn pids_are_reported() -> Result<(), Failed> {
    let root = root()?;
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 100 & done 2>/dev/null; exit 6";
    let done = sh(&["--pids", "8"], &root, script).done()?;
    done.complains("times no new process: the limit is 8")?;
    Ok(())
}

fn the_exit_status() -> Result<(), Failed> {
    let root = root()?;
    sh(&["--pids", "32"], &root, "exit 9").code(9)?;
    sh(&["--pids", "32"], &root, "sh -c 'kill -9 $$'; exit $?").code(137)?;
    let missing = Run::new(env!("CARGO_BIN_EXE_03-cgroups"))
        .args(["--pids", "32"])
        .arg(root.path())
        .args(["--", "no-such-command"])
        .env("PATH", "/bin");
    missing.code(127)?.complains("executable file not found in $PATH")?;
    Ok(())
}

/// Without a PID namespace nothing but the cgroup knows whom to take along.
fn what_is_left_inside() -> Result<(), Failed> {
    let root = root()?;
    let script = "sleep 1000 >/dev/null 2>&1 & exit 3";
    let before = Fingerprint::of(&[&root.path().to_string_lossy()]);
    let run = sh(&["--pids", "32", "--no-pid", "--no-user"], &root, script);
    let (pid, status, stderr) = output(run.env("MARK", root.path()).into_command())?;
    let left = cgroups(&format!("03-cgroups-{pid}"));
    for dir in &left {
        // Only the one of cgroup2 has it.
        let _ = fs::write(dir.join("cgroup.kill"), "1");
    }
    remove(&left)?;
    assert!(left.is_empty() && status == Some(3), "{status:?} {stderr} {left:?}");
    before.unchanged(SECONDS)
}

fn no_delegation() -> Result<(), Failed> {
    if host().limits.is_ok() {
        return Ok(());
    }
    let root = root()?;
    // With no service manager to ask for one.
    let done =
        sh(&["--memory", "64m"], &root, "true").env("XDG_RUNTIME_DIR", "/nowhere").code(125)?;
    done.complains("03-cgroups: no cgroup is delegated to us")?;
    done.complains("leave the limits out")?;
    assert_eq!(done.stdout, "");
    Ok(())
}

fn wrong_limits() -> Result<(), Failed> {
    let root = root()?;
    let wrong = [
        (&["--memory", "12q"][..], "is not a unit"),
        (&["--memory", "1"], "too small to start anything"),
        (&["--memory", "64m", "--memory-swap", "32m"], "must not be less than --memory"),
        (&["--cpus", "0"], "0.01 is the least"),
        (&["--cpus", "100000"], "more than this machine's"),
        (&["--pids", "many"], "invalid value"),
        (&["--device-read-bps", "/dev/null:1m"], "/dev/null is not a disk"),
    ];
    for (options, says) in wrong {
        let done = sh(options, &root, "true").code(125)?;
        let text = done.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(says), "{says}: {done:?}");
    }
    Ok(())
}

fn limited(option: &str, root: &TempDir, script: &str) -> Run {
    sh(&[option, "--pids", "32"], root, script).env("MARK", root.path())
}

fn steps(root: &TempDir) -> Result<Vec<String>, Failed> {
    let mut steps = steps_of(&limited("--timings", root, "true").success()?.stderr);
    assert_eq!(steps[..3], ["cgroup", "limits", "clone3"], "{steps:?}");
    assert_eq!(steps.last().map(String::as_str), Some("remove-cgroup"), "{steps:?}");
    steps.dedup();
    Ok(steps)
}

fn each_step_fails() -> Result<(), Failed> {
    let root = root()?;
    let before = Fingerprint::of(&[&root.path().to_string_lossy()]);
    for step in steps(&root)? {
        let run = limited(&format!("--fail={step}"), &root, "true").into_command();
        let (pid, status, stderr) = output(run)?;
        assert_eq!(status, Some(if step == "execve" { 126 } else { 125 }), "{step}: {stderr}");
        assert!(stderr.contains(&format!("03-cgroups: {step}: ")), "{step}: {stderr}");
        before.unchanged(SECONDS)?;
        // Where removing is what fails, it is there: the test takes it away.
        let left = cgroups(&format!("03-cgroups-{pid}"));
        assert!(step == "remove-cgroup" || left.is_empty(), "{step}: {left:?}");
        remove(&left)?;
    }
    Ok(())
}

/// Runs it; its pid, its exit status and what it wrote to stderr.
fn output(mut command: std::process::Command) -> Result<(u32, Option<i32>, String), Failed> {
    let child = command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    let pid = child.id();
    let done = child.wait_with_output()?;
    Ok((pid, done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned()))
}

/// What a killed runtime leaves: an empty cgroup, and its parent when it was the last.
fn remove(dirs: &[PathBuf]) -> Result<(), Failed> {
    for dir in dirs {
        dockster_tests::wait_until("an empty cgroup can be removed", SECONDS, || {
            let gone = fs::remove_dir(dir);
            gone.is_ok() || gone.is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
        })?;
        let parent = dir.parent().unwrap_or(Path::new("/"));
        if parent.ends_with("dockster-03") {
            // Not if another one is running.
            let _ = fs::remove_dir(parent);
        }
    }
    Ok(())
}

fn paused(step: &str, root: &TempDir) -> Result<Terminal, Failed> {
    let run = limited(&format!("--pause={step}"), root, "echo out; sleep 1");
    let mut terminal = Terminal::spawn(run.into_command(), 60, 100)?;
    terminal.wait_for(&format!("Paused before `{step}`"))?;
    terminal.wait_for("Enter goes on")?;
    Ok(terminal)
}

fn ctrl_c_leaves_nothing() -> Result<(), Failed> {
    let root = root()?;
    for step in ["cgroup", "limits", "clone3", "pivot_root", "execve"] {
        let mut terminal = paused(step, &root)?;
        let name = format!("03-cgroups-{}", terminal.pid());
        terminal.type_keys("\x03")?;
        let status = terminal.finish()?;
        let left = cgroups(&name);
        remove(&left)?;
        assert_eq!(status.code(), Some(125), "{step}: {}", terminal.screen());
        assert_eq!(left, Vec::<PathBuf>::new(), "{step}");
    }
    Ok(())
}

fn killed_at_each_step() -> Result<(), Failed> {
    let root = root()?;
    let before = Fingerprint::of(&[&root.path().to_string_lossy()]);
    for step in steps(&root)? {
        if step == "remove-cgroup" {
            continue;
        }
        let mut terminal = paused(&step, &root)?;
        let name = format!("03-cgroups-{}", terminal.pid());
        kill(Pid::from_raw(terminal.pid() as i32), Signal::SIGKILL)?;
        terminal.finish()?;
        before.unchanged(SECONDS)?;
        // Nobody is left who could remove the cgroup. It is empty.
        remove(&cgroups(&name))?;
    }
    Ok(())
}

fn left_is_cleared() -> Result<(), Failed> {
    let root = root()?;
    let mut terminal = paused("execve", &root)?;
    let name = format!("03-cgroups-{}", terminal.pid());
    kill(Pid::from_raw(terminal.pid() as i32), Signal::SIGKILL)?;
    terminal.finish()?;
    dockster_tests::wait_until("its cgroup is cleared away", SECONDS, || {
        sh(&["--pids", "32"], &root, "true").code(0).is_ok() && cgroups(&name).is_empty()
    })
}

/// Without a mount namespace of its own, pivot_root would move the whole machine. (Tried in
/// a mount namespace of this test's own.)
fn never_the_hosts_mounts() -> Result<(), Failed> {
    let root = root()?;
    let run = Run::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .args([env!("CARGO_BIN_EXE_03-cgroups"), "--no-mount", "--no-user"])
        .arg(root.path())
        .args(["--", "true"]);
    // unshare becomes the program, so the pid is the program's.
    let (pid, status, stderr) = output(run.into_command())?;
    remove(&cgroups(&format!("03-cgroups-{pid}")))?;
    assert!(status == Some(125) && !stderr.is_empty(), "{status:?} {stderr}");
    Ok(())
}

fn two_at_once() -> Result<(), Failed> {
    let root = root()?;
    let start = |pids: &str| Limited::start(sh(&["--pids", pids], &root, STAY));
    let (mut one, mut two) = (start("11")?, start("12")?);
    assert_eq!(value(&one.cgroups(), &["pids.max"])?, "11");
    one.0.finish()?;
    // The end of one takes nothing from the other, their parent included.
    assert_eq!(value(&two.cgroups(), &["pids.max"])?, "12");
    two.0.finish()?;
    assert!(two.cgroups().is_empty());
    Ok(())
}
