//! A life from create to delete: names, states, races, and what a killed runtime leaves.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use dockster_tests::{Failed, Need, Run, Trial, host, wait_until};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::json;

use crate::bundle::{Bundle, PATIENCE, case, other, ours, runtime};

const ROOT: &[Need] = &[Need::Root];
const SPEED: &[Need] = &[Need::Root, Need::Speed];

pub fn trials() -> Vec<Trial> {
    vec![
        case("life::states", &[], states),
        case("life::ids", ROOT, ids),
        case("life::the_same_id_twice", ROOT, same_id),
        case("life::wrong_order", ROOT, wrong_order),
        case("life::nobody_of_that_name", ROOT, nobody),
        case("life::delete_and_force", ROOT, delete_and_force),
        case("life::twenty_creates_of_one_name", ROOT, twenty_of_one_name),
        case("life::twenty_names_at_once", ROOT, twenty_names),
        case("life::signals", ROOT, signals),
        case("life::dies_before_it_is_started", ROOT, dies_in_created),
        case("life::pid_file", &[], pid_file),
        case("life::descriptors", &[], descriptors),
        case("life::kept_descriptors", &[], kept_descriptors),
        case("life::stdin_closed", &[], stdin_closed),
        case("life::streams_of_the_runtime", &[], streams),
        case("life::a_big_environment", &[], big_environment),
        case("life::a_leaked_working_directory", ROOT, leaked_cwd),
        case("life::bundle_removed_before_delete", ROOT, bundle_removed),
        case("life::bundle_changed_after_create", ROOT, bundle_changed),
        case("life::bundle_is_a_relative_path", ROOT, relative_bundle),
        case("life::wrong_configurations", ROOT, wrong_configurations),
        case("life::what_it_leaves_running_ends_with_it", ROOT, left_running),
        case("life::left_running_without_a_pid_namespace", ROOT, left_in_the_hosts_pids),
        ours("life::state_file_cut_short", ROOT, state_cut_short),
        ours("life::a_pid_that_is_another_process", ROOT, reused_pid),
        case("life::runtime_killed_in_create", SPEED, killed_in_create),
        ours("life::runtime_killed_at_each_step", SPEED, killed_at_each_step),
        case("life::run_is_killed", ROOT, run_is_killed),
        case("life::a_hundred_lives", SPEED, hundred_lives),
        case("life::exec_in_a_container_that_ends", ROOT, exec_while_it_ends),
    ]
}

fn states(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.script("echo started; sleep 1000").create()?;
    let state = bundle.state()?;
    assert_eq!(state["status"], "created", "{state}");
    assert!(
        state["ociVersion"].as_str().is_some_and(|version| version.starts_with("1.")),
        "{state}"
    );
    let pid = bundle.pid()?;
    assert_eq!(bundle.output(), "", "its program waits");
    bundle.verb("start")?;
    bundle.wait_for("started\n")?;
    assert_eq!((bundle.state()?["status"].clone(), bundle.pid()?), (json!("running"), pid));
    bundle.oci(["kill", &bundle.id, "KILL"]).success()?;
    bundle.until("stopped")?;
    let state = bundle.state()?;
    assert_eq!(state["pid"].as_i64().unwrap_or(0), 0, "{state}");
    bundle.verb("delete")?;
    assert!(!bundle.oci(["state", &bundle.id]).done()?.status.success());
    // By itself.
    bundle.script("exit 3").start()?;
    bundle.until("stopped")?;
    bundle.verb("delete")?;
    Ok(())
}

fn ids(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.script("true").write()?;
    let dir = bundle.dir().to_string_lossy().into_owned();
    let long = "x".repeat(2000);
    let outside = bundle.join("escaped");
    for id in ["", ".", "..", "a/b", "../escaped", "a b", "a\nb", "ü", "a:b", "-dash$", &long] {
        let done = bundle.oci(["create", "--bundle", &dir, "--", id]).done()?;
        if done.status.success() || done.stderr.trim().is_empty() {
            return Err(done.failed(&format!("the id {id:?} has to be refused")));
        }
        for verb in ["state", "start", "delete"] {
            let done = bundle.oci([verb, "--", id]).done()?;
            assert!(!done.status.success(), "{verb} {id:?}");
        }
    }
    assert!(!outside.exists());
    for id in ["A", "a.b", "a-b", "a_b", "a+b", "0", "_x", "..a"] {
        bundle.set("linux.cgroupsPath", format!("/{}-x", bundle.id)).write()?;
        let done = bundle.oci(["run", "--bundle", &dir, id]).done()?;
        if !done.status.success() {
            return Err(done.failed(&format!("the id {id:?} is a good one")));
        }
    }
    Ok(())
}

fn same_id(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.ready("true")?;
    let pid = bundle.pid()?;
    let said = bundle.create_fails()?;
    assert!(said.contains("exist"), "{said}");
    // The first is as it was.
    assert_eq!((bundle.pid()?, bundle.state()?["status"].clone()), (pid, json!("running")));
    assert!(bundle.cgroup("pids").is_ok_and(|dir| dir.is_dir()));
    bundle.end()?;
    bundle.create()?;
    bundle.end()
}

/// Each verb in each state in which it has no place: an error, and nothing has changed.
fn wrong_order(bundle: &mut Bundle) -> Result<(), Failed> {
    let id = bundle.id.clone();
    let fails = |bundle: &Bundle, words: &[&str], says: &str| -> Result<(), Failed> {
        let done = bundle.oci(words.iter().copied()).done()?;
        let said = done.stderr.to_lowercase();
        match done.status.success() || !said.contains(says) {
            true => Err(done.failed(&format!("{words:?} has to fail with {says:?}"))),
            false => Ok(()),
        }
    };
    bundle.script("echo ready; sleep 1000").create()?;
    // One that is created and no more is killed, as runc does and containerd expects.
    bundle.oci(["delete", &id]).done()?;
    if bundle.state().is_err() {
        bundle.create()?;
    }
    fails(bundle, &["resume", &id], "")?;
    bundle.verb("start")?;
    bundle.wait_for("ready")?;
    fails(bundle, &["start", &id], "")?;
    fails(bundle, &["delete", &id], "not stopped")?;
    assert_eq!(bundle.state()?["status"], "running");
    bundle.oci(["kill", &id, "KILL"]).success()?;
    bundle.until("stopped")?;
    fails(bundle, &["start", &id], "stopped")?;
    fails(bundle, &["kill", &id, "TERM"], "")?;
    fails(bundle, &["exec", &id, "true"], "stopped")?;
    fails(bundle, &["pause", &id], "")?;
    assert_eq!(bundle.state()?["status"], "stopped");
    bundle.verb("delete")?;
    Ok(())
}

fn nobody(bundle: &mut Bundle) -> Result<(), Failed> {
    for verb in ["state", "start", "kill", "delete", "pause", "resume", "ps", "events"] {
        let done = bundle.oci([verb, "nobody"]).done()?;
        assert!(!done.status.success(), "{verb}");
        assert!(done.stderr.contains("does not exist"), "{verb}: {}", done.stderr);
    }
    bundle.oci(["delete", "--force", "nobody"]).success()?;
    assert_eq!(bundle.oci(["list", "--quiet"]).success()?.stdout, "");
    Ok(())
}

fn delete_and_force(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.ready("trap '' TERM; sleep 1000 &")?;
    let dir = bundle.cgroup("pids")?;
    bundle.end()?;
    assert!(!dir.exists(), "its cgroup is there");
    bundle.end()?;
    bundle.oci(["delete", &bundle.id]).done().map(|done| assert!(!done.status.success()))?;
    bundle.create()?;
    bundle.end()
}

fn twenty_of_one_name(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.script("sleep 1000").write()?;
    let count = if host().is_slow() { 6 } else { 20 };
    let start = || {
        Command::new(runtime())
            .arg("--root")
            .arg(bundle.join("state"))
            .args(["create", "--bundle"])
            .arg(bundle.dir())
            .arg(&bundle.id)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    };
    let all: Vec<_> = (0..count).map(|_| start()).collect::<Result<_, _>>()?;
    let mut won = 0;
    for mut child in all {
        won += usize::from(child.wait()?.success());
    }
    // runc 1.1.5 makes cgroups before it looks again, and fails all at times.
    if other().is_none() || won > 0 {
        assert_eq!(won, 1);
        assert_eq!(bundle.state()?["status"], "created");
        bundle.verb("start")?;
        assert_eq!(bundle.state()?["status"], "running");
    }
    bundle.end()
}

fn twenty_names(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.script("exit 7").unset("linux.cgroupsPath").write()?;
    let count = if host().is_slow() { 4 } else { 20 };
    let ids: Vec<_> = (0..count).map(|number| format!("{}-{number}", bundle.id)).collect();
    let start = |id: &String| {
        Command::new(runtime())
            .arg("--root")
            .arg(bundle.join("state"))
            .args(["run", "--bundle"])
            .arg(bundle.dir())
            .arg(id)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
    };
    let all: Vec<_> = ids.iter().map(start).collect::<Result<_, _>>()?;
    for child in all {
        let done = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(7), "{said}");
    }
    Ok(())
}

fn signals(bundle: &mut Bundle) -> Result<(), Failed> {
    let script = "for s in HUP USR1 TERM; do trap \"echo got $s\" $s; done; echo ready; \
                  while :; do sleep 0.02; done";
    bundle.script(script).start()?;
    bundle.wait_for("ready\n")?;
    for (word, got) in [("HUP", "HUP"), ("SIGUSR1", "USR1"), ("15", "TERM"), ("hup", "HUP")] {
        fs::write(bundle.join("out"), "")?;
        bundle.oci(["kill", &bundle.id, word]).success()?;
        bundle.wait_for(&format!("got {got}"))?;
    }
    fs::write(bundle.join("out"), "")?;
    // Without one it is TERM.
    bundle.oci(["kill", &bundle.id]).success()?;
    bundle.wait_for("got TERM")?;
    for word in ["NOSUCH", "-1", "1000"] {
        assert!(!bundle.oci(["kill", "--", &bundle.id, word]).done()?.status.success(), "{word:?}");
    }
    bundle.oci(["kill", "--all", &bundle.id, "KILL"]).success()?;
    bundle.until("stopped")
}

/// The process that waits for `start` is killed by somebody.
fn dies_in_created(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.script("true").create()?;
    let pid = bundle.pid()?;
    kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    bundle.until("stopped")?;
    let done = bundle.oci(["start", &bundle.id]).limit(Duration::from_secs(10)).done()?;
    assert!(!done.status.success());
    bundle.verb("delete")?;
    bundle.nothing_left()?;
    // By the runtime's own words.
    bundle.create()?;
    bundle.oci(["kill", &bundle.id, "KILL"]).success()?;
    bundle.until("stopped")?;
    bundle.verb("delete")?;
    Ok(())
}

fn pid_file(bundle: &mut Bundle) -> Result<(), Failed> {
    let file = bundle.join("pid").to_string_lossy().into_owned();
    bundle.script("sleep 1000");
    let done = bundle.create_with(&["--pid-file", &file])?;
    assert!(done.status.success(), "{}", bundle.errors());
    // A number alone, without a newline (conmon and containerd read it so).
    assert_eq!(fs::read_to_string(&file)?, bundle.pid()?.to_string());
    bundle.verb("start")?;
    let exec = bundle.join("exec-pid").to_string_lossy().into_owned();
    let script = r#"exec "$@" </dev/null >/dev/null 2>&1"#;
    Run::new("sh")
        .args(["-c", script, "sh"])
        .arg(runtime())
        .arg("--root")
        .arg(bundle.join("state"))
        .args(["exec", "--detach", "--pid-file", &exec, &bundle.id, "sleep", "1001"])
        .success()?;
    let pid = fs::read_to_string(&exec)?;
    let line = fs::read(format!("/proc/{pid}/cmdline"))?;
    assert_eq!(line, b"sleep\x001001\x00");
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    assert!(status.lines().any(|line| line.starts_with("NSpid:") && line.contains(&pid)));
    bundle.end()
}

/// Only 0, 1 and 2 (and what `ls` itself has), whatever the runtime's parent had open.
fn descriptors(bundle: &mut Bundle) -> Result<(), Failed> {
    // 3 is the directory that it lists.
    bundle.set("process.args", json!(["ls", "/proc/self/fd"]));
    let run = bundle.run()?.into_command();
    let done = Run::new("bash")
        .args(["-c", "exec 5</etc/passwd 7</ 9<>/dev/null; exec \"$@\"", "bash"])
        .arg(run.get_program())
        .args(run.get_args())
        .success()?;
    assert_eq!(done.stdout, "0\n1\n2\n3\n");
    bundle.ready("true")?;
    let run = bundle.exec(&[], &["ls", "/proc/self/fd"]).into_command();
    let done = Run::new("bash")
        .args(["-c", "exec 5</etc/passwd 7</; exec \"$@\"", "bash"])
        .arg(run.get_program())
        .args(run.get_args())
        .success()?;
    assert_eq!(done.stdout, "0\n1\n2\n3\n");
    // From outside, none is a directory, or anything of the host's.
    let pid = bundle.pid()?;
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let name = entry?.file_name();
        assert!(["0", "1", "2"].contains(&&*name.to_string_lossy()), "{name:?}");
    }
    bundle.end()
}

fn kept_descriptors(bundle: &mut Bundle) -> Result<(), Failed> {
    fs::write(bundle.join("three"), "third")?;
    fs::write(bundle.join("four"), "fourth")?;
    bundle.script("cat <&3; cat <&4; exec ls /proc/self/fd").write()?;
    let done = Run::new("bash")
        .args(["-c", "exec 3<three 4<four 9</; exec \"$@\"", "bash"])
        .arg(runtime())
        .arg("--root")
        .arg(bundle.join("state"))
        .args(["run", "--preserve-fds", "2", "--bundle"])
        .arg(bundle.dir())
        .arg(&bundle.id)
        .dir(bundle.dir())
        .success()?;
    // 5 is the directory that it lists.
    assert_eq!(done.stdout, "thirdfourth0\n1\n2\n3\n4\n5\n");
    Ok(())
}

fn stdin_closed(bundle: &mut Bundle) -> Result<(), Failed> {
    let script = "ls /proc/$$/fd | tr '\\n' ' '; echo out; echo err >&2";
    let run = bundle.script(script).run()?.into_command();
    for redirect in ["<&-", "0</dev/null"] {
        let done = Run::new("sh")
            .args(["-c", &format!("exec \"$@\" {redirect}"), "sh"])
            .arg(run.get_program())
            .args(run.get_args())
            .done()?;
        assert!(done.status.success(), "{redirect}: {}", done.stderr);
        assert!(done.stdout.ends_with("out\n") && done.stderr.contains("err"), "{done:?}");
    }
    Ok(())
}

fn streams(bundle: &mut Bundle) -> Result<(), Failed> {
    let done = bundle.script("cat; echo err >&2").run()?.input("what it reads").success()?;
    assert_eq!((&*done.stdout, &*done.stderr), ("what it reads", "err\n"));
    // Much of both, and nobody waits for the other.
    let script = "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2";
    let done = bundle.script(script).run()?.success()?;
    assert_eq!((done.stdout.len(), done.stderr.len()), (3_000_000, 3_000_000));
    Ok(())
}

fn big_environment(bundle: &mut Bundle) -> Result<(), Failed> {
    let mut env = vec!["PATH=/bin".to_owned(), format!("BIG={}", "x".repeat(100_000))];
    env.extend((0..2000).map(|number| format!("VARIABLE_{number}={}", "y".repeat(200))));
    bundle.set("process.env", env);
    let script = "env | grep -c ^VARIABLE_; echo ${#BIG}";
    assert_eq!(bundle.says(script)?, "2000\n100000");
    bundle.set("process.args", json!(["echo", "z".repeat(120_000)]));
    assert_eq!(bundle.run()?.success()?.stdout.len(), 120_001);
    // More than the kernel takes.
    bundle.set("process.args", json!(["echo", "z".repeat(200_000)]));
    let done = bundle.run()?.done()?;
    assert!(!done.status.success() && done.stderr.len() < 20_000, "{}", done.stderr.len());
    Ok(())
}

/// CVE-2024-21626: a working directory through a descriptor of the runtime's.
fn leaked_cwd(bundle: &mut Bundle) -> Result<(), Failed> {
    fs::write(bundle.join("marker"), "outside")?;
    let mut places: Vec<String> = (0..24).map(|fd| format!("/proc/self/fd/{fd}")).collect();
    places.push("/link".into());
    symlink("/proc/self/fd/7", bundle.rootfs().join("link"))?;
    for place in &places {
        bundle
            .set("process.cwd", &**place)
            .script("cat ../marker ../../marker ./marker; pwd; ls ..");
        let done = bundle.run()?.done()?;
        assert!(!done.stdout.contains("outside"), "{place}: {done:?}");
        assert!(!done.stdout.contains("rootfs"), "{place}: {done:?}");
    }
    bundle.set("process.cwd", "/").ready("true")?;
    for place in &places {
        let done = bundle.exec(&["--cwd", place], &["sh", "-c", "ls .. ../.."]).done()?;
        assert!(!done.stdout.contains("config.json"), "{place}: {done:?}");
    }
    bundle.end()
}

fn bundle_removed(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.ready("true")?;
    fs::remove_file(bundle.join("config.json"))?;
    assert_eq!(bundle.state()?["status"], "running");
    if other().is_none() {
        bundle.exec(&[], &["true"]).success()?;
    }
    bundle.oci(["kill", &bundle.id, "KILL"]).success()?;
    bundle.until("stopped")?;
    fs::rename(bundle.rootfs(), bundle.join("elsewhere"))?;
    bundle.verb("delete")?;
    bundle.nothing_left()
}

/// runtime.md, "Lifecycle": changes of config.json after create have no effect.
fn bundle_changed(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.script("echo first; sleep 1000").create()?;
    bundle.script("echo second").set("annotations", json!({"new": "one"})).write()?;
    bundle.verb("start")?;
    bundle.wait_for("first\n")?;
    assert!(bundle.state()?["annotations"]["new"].is_null());
    fs::write(bundle.join("config.json"), "not even JSON")?;
    if other().is_none() {
        bundle.exec(&[], &["true"]).success()?;
    }
    bundle.end()
}

fn relative_bundle(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.script("echo fine").write()?;
    let run = |words: &[&str]| -> Result<String, Failed> {
        Ok(bundle.oci(words.iter().copied()).dir(bundle.dir()).success()?.stdout)
    };
    assert_eq!(run(&["run", &bundle.id])?, "fine\n");
    assert_eq!(run(&["run", "-b", ".", &bundle.id])?, "fine\n");
    assert_eq!(run(&["run", "-b", "rootfs/..", &bundle.id])?, "fine\n");
    Ok(())
}

fn wrong_configurations(bundle: &mut Bundle) -> Result<(), Failed> {
    let dir = bundle.dir().to_string_lossy().into_owned();
    for text in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        "\0\u{1}",
        r#"{"ociVersion": 1}"#,
        r#"{"ociVersion":"1.0.2","process":{"args":["x"],"cwd":"/"}}"#,
    ] {
        fs::write(bundle.join("config.json"), text)?;
        let done = bundle.oci(["run", "--bundle", &dir, &bundle.id]).done()?;
        if done.status.success() || done.stderr.trim().is_empty() {
            return Err(done.failed(&format!("{text:?} has to be refused")));
        }
        assert!(!done.stderr.contains("panicked"), "{text:?}: {}", done.stderr);
        bundle.nothing_left()?;
    }
    fs::remove_file(bundle.join("config.json"))?;
    let done = bundle.oci(["run", "--bundle", &dir, &bundle.id]).done()?;
    assert!(!done.status.success() && done.stderr.contains("config.json"), "{done:?}");
    let done = bundle.oci(["run", "--bundle", "/no/such/bundle", &bundle.id]).done()?;
    assert!(!done.status.success(), "{done:?}");
    Ok(())
}

fn left_running(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.script("sleep 1001 & sleep 1002 & sleep 0.1; exit 0").start()?;
    bundle.until("stopped")?;
    bundle.verb("delete")?;
    bundle.nothing_left()
}

/// There only the cgroup knows them.
fn left_in_the_hosts_pids(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.without_namespace("pid");
    bundle.script("(trap '' TERM HUP; sleep 1001 & sleep 1002 & sleep 1003) & echo ready; exec sleep 1000").start()?;
    bundle.wait_for("ready")?;
    let dir = bundle.cgroup("pids")?;
    let inside = || fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    wait_until("all are there", PATIENCE, || inside().lines().count() >= 4)?;
    let pids: Vec<String> = inside().lines().map(str::to_owned).collect();
    bundle.oci(["kill", "--all", &bundle.id, "KILL"]).success()?;
    bundle.until("stopped")?;
    bundle.end()?;
    for pid in pids {
        wait_until("it has ended", PATIENCE, || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z")
        })?;
    }
    Ok(())
}

/// All files of the container's state.
fn state_files(bundle: &Bundle) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    let mut todo = vec![bundle.join("state")];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => todo.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files
}

/// By hand or by a failing disk (a power cut leaves the old one or the new one): nothing
/// panics, and delete --force takes away what it knows of.
fn state_cut_short(bundle: &mut Bundle) -> Result<(), Failed> {
    // Where none is named, its name follows from the id, which is known still.
    bundle.unset("linux.cgroupsPath");
    for keep in [0, 10, 100] {
        bundle.ready("true")?;
        let pid = bundle.pid()?;
        let cgroups =
            ["", "pids", "memory", "cpu", "cpuset", "cpuacct", "blkio", "devices", "freezer"];
        let cgroups: Vec<_> = cgroups.iter().filter_map(|name| bundle.cgroup(name).ok()).collect();
        let files = state_files(bundle);
        assert!(!files.is_empty());
        for file in files {
            let text = fs::read(&file)?;
            fs::write(&file, &text[..keep.min(text.len())])?;
        }
        for verb in ["state", "kill", "delete", "ps"] {
            let done = bundle.oci([verb, &bundle.id]).done()?;
            assert!(!done.status.success() && !done.stderr.contains("panicked"), "{done:?}");
        }
        let done = bundle.oci(["list"]).done()?;
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
        let done = bundle.oci(["delete", "--force", &bundle.id]).done()?;
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
        // Nobody knows its process any more: that is the test's to end.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        wait_until("its cgroups are gone", PATIENCE, || {
            cgroups.iter().for_each(|dir| drop(fs::remove_dir(dir)));
            cgroups.iter().all(|dir| !dir.exists())
        })?;
        bundle.oci(["delete", "--force", &bundle.id]).done()?;
        bundle.nothing_left()?;
        let _ = fs::remove_file(bundle.join("out"));
    }
    Ok(())
}

/// What is written down of a process is not true of the next one with its number.
fn reused_pid(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.script("true").start()?;
    bundle.until("stopped")?;
    let mut innocent = Command::new("sleep").arg("1000").spawn()?;
    let wanted = innocent.id().to_string();
    // In place of the pid that each file has: a process that started later.
    for file in state_files(bundle) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let Ok(mut value) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
        replace_pids(&mut value, innocent.id());
        fs::write(&file, value.to_string())?;
    }
    let outcome = (|| -> Result<(), Failed> {
        assert_eq!(bundle.state()?["status"], "stopped", "it is another process {wanted}");
        assert!(!bundle.oci(["kill", &bundle.id, "KILL"]).done()?.status.success());
        bundle.end()?;
        assert!(innocent.try_wait()?.is_none(), "the innocent one was killed");
        Ok(())
    })();
    let _ = innocent.kill();
    let _ = innocent.wait();
    outcome
}

fn replace_pids(value: &mut serde_json::Value, pid: u32) {
    match value {
        serde_json::Value::Object(all) => {
            for (key, value) in all {
                if key == "pid" && value.is_number() {
                    *value = pid.into();
                } else {
                    replace_pids(value, pid);
                }
            }
        }
        serde_json::Value::Array(all) => all.iter_mut().for_each(|v| replace_pids(v, pid)),
        _ => {}
    }
}

/// The runtime is killed after a time that grows: at whatever step it then is.
fn killed_in_create(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.script("sleep 1000").write()?;
    for number in 0..40_u64 {
        let mut child = Command::new(runtime())
            .arg("--root")
            .arg(bundle.join("state"))
            .args(["create", "--bundle"])
            .arg(bundle.dir())
            .arg(&bundle.id)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        std::thread::sleep(Duration::from_micros(number * 700));
        // runc is several processes, and cannot clear up after them alone.
        let own = Pid::from_raw(child.id() as i32);
        let _ = if other().is_some() {
            killpg(own, Signal::SIGKILL)
        } else {
            kill(own, Signal::SIGKILL)
        };
        child.wait()?;
        let done = bundle.oci(["delete", "--force", &bundle.id]).done()?;
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
        if other().is_none() {
            bundle.nothing_left()?;
        }
    }
    // The name is free, and everything works.
    if other().is_some() {
        // What runc has left is one of these.
        let _ = bundle.run()?.done();
        return bundle.end();
    }
    assert_eq!(bundle.says("echo fine")?, "fine");
    Ok(())
}

/// The runtime notes each step before it takes it: killed at the first note, at the second ...
fn killed_at_each_step(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.script("sleep 1000").write()?;
    let create = |notes: Stdio| {
        Command::new(runtime())
            .arg("--debug")
            .arg("--root")
            .arg(bundle.join("state"))
            .args(["create", "--bundle"])
            .arg(bundle.dir())
            .arg(&bundle.id)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(notes)
            .spawn()
    };
    let all = bundle.join("notes");
    assert!(create(fs::File::create(&all)?.into())?.wait()?.success());
    bundle.end()?;
    let count = fs::read_to_string(&all)?.lines().count();
    assert!(count > 8, "{count} steps and no more");
    for number in 1..=count {
        let mut child = create(Stdio::piped())?;
        let notes = BufReader::new(child.stderr.take().ok_or("stderr is a pipe")?);
        let last = notes.lines().map_while(Result::ok).take(number).last().unwrap_or_default();
        child.kill()?;
        child.wait()?;
        bundle.end()?;
        bundle.nothing_left().map_err(|failed| {
            Failed::from(format!("{last}: {}", failed.message().unwrap_or("")))
        })?;
    }
    assert_eq!(bundle.says("echo fine")?, "fine");
    Ok(())
}

/// `run` in the foreground is killed: what it has started is for delete --force to end.
fn run_is_killed(bundle: &mut Bundle) -> Result<(), Failed> {
    let run = bundle.script("echo ready; sleep 1000").run()?;
    let mut command = run.into_command();
    let out = fs::File::create(bundle.join("out"))?;
    let mut child = command.stdin(Stdio::null()).stdout(out).stderr(Stdio::null()).spawn()?;
    bundle.wait_for("ready\n")?;
    child.kill()?;
    child.wait()?;
    bundle.end()?;
    bundle.nothing_left()?;
    // A signal to it reaches the program, whose status is its own.
    let run =
        bundle.script("trap 'exit 9' TERM; echo ready; while :; do sleep 0.02; done").run()?;
    let mut command = run.into_command();
    let out = fs::File::create(bundle.join("out"))?;
    let mut child = command.stdin(Stdio::null()).stdout(out).stderr(Stdio::null()).spawn()?;
    bundle.wait_for("ready\n")?;
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM)?;
    assert_eq!(child.wait()?.code(), Some(9));
    Ok(())
}

fn hundred_lives(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.script("true");
    let count = if other().is_some() { 20 } else { 100 };
    for _ in 0..count {
        bundle.run()?.success()?;
    }
    bundle.nothing_left()
}

/// It ends at any moment of an exec: an error or a status, and never a process left.
fn exec_while_it_ends(bundle: &mut Bundle) -> Result<(), Failed> {
    let count = if host().is_slow() { 2 } else { 12 };
    for number in 0..count {
        bundle.ready("true")?;
        let mut exec = bundle.exec(&[], &["sleep", "1000"]).into_command();
        let mut exec =
            exec.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        std::thread::sleep(Duration::from_millis(number * 2));
        bundle.oci(["kill", &bundle.id, "KILL"]).success()?;
        let mut status = None;
        wait_until("exec has ended", PATIENCE, || {
            status = exec.try_wait().ok().flatten();
            status.is_some()
        })
        .inspect_err(|_| {
            let _ = exec.kill();
        })?;
        assert!(!status.is_some_and(|status| status.success()), "{status:?}");
        bundle.until("stopped")?;
        bundle.verb("delete")?;
        fs::remove_file(bundle.join("out"))?;
    }
    std::io::stderr().flush()?;
    bundle.nothing_left()
}
