//! In the background: started, listed, stopped, killed, waited for, removed.

use std::time::{Duration, Instant};

use dockster_tests::{Failed, Need, Trial, scaled, wait_until};

use crate::tools::{Background, House, PATIENCE, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("it_lives_without_its_command", &[], it_lives_without_its_command),
        beside("stop_asks_and_then_kills", &[], stop_asks_and_then_kills),
        beside("kill_sends_any_signal", &[], kill_sends_any_signal),
        beside("wait_prints_the_status", &[], wait_prints_the_status),
        beside("create_and_start_are_two_steps", &[], create_and_start),
        beside("what_was_written_is_there_after_a_restart", &[], restart_keeps_files),
        beside("a_start_that_fails_says_why", &[], a_start_that_fails),
        beside("rm_waits_for_nobody_with_force", &[], rm_with_force),
        beside("many_at_once", &[], many_at_once),
        beside("paused_processes_stand_still", &[Need::Limits], pause_and_unpause),
        beside("a_new_name_and_new_limits", &[Need::Limits], rename_and_update),
    ]
}

/// Ends with 9 when it is asked to.
pub const POLITE: &str = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done";

/// Waits until its log says so.
pub fn wait_for_log(house: &House, name: &str, text: &str) -> Result<(), Failed> {
    let said =
        || house.dockster(["logs", name]).done().is_ok_and(|done| done.stdout.contains(text));
    wait_until(&format!("the log of {name} says {text:?}"), PATIENCE, said)
}

/// One field, as `inspect` shows it.
pub fn field(house: &House, name: &str, path: &str) -> Result<String, Failed> {
    let format = format!("{{{{{path}}}}}");
    let done = house.dockster(["inspect", "--format", &format, name]).success()?;
    Ok(done.stdout.trim_end().to_owned())
}

fn it_lives_without_its_command() -> Result<(), Failed> {
    let house = House::new()?;
    let done =
        house.dockster(["run", "-d", "--name", "one", "busybox", "sh", "-c", POLITE]).success()?;
    let id = done.stdout.trim_end();
    assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id:?}");
    assert_eq!(done.stderr, "");
    wait_for_log(&house, "one", "ready\n")?;
    let listed = house.dockster(["ps"]).success()?;
    listed.says(" Up ")?.says(&id[..12])?;
    house.dockster(["ps", "-q", "--no-trunc"]).success()?.says(id)?;
    let pid: i32 = field(&house, "one", ".State.Pid")?.parse()?;
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(field(&house, "one", ".State.Running")?, "true");
    assert_eq!(house.dockster(["stop", "one"]).success()?.stdout, "one\n");
    house.dockster(["ps", "-a"]).success()?.says("Exited (9)")?;
    assert_eq!(field(&house, "one", ".State.Status")?, "exited");
    assert_eq!(house.dockster(["rm", &id[..8]]).success()?.stdout.trim_end(), &id[..8]);
    // One that goes by itself.
    house
        .dockster(["run", "-d", "--rm", "--name", "brief", "busybox", "sleep", "0.2"])
        .success()?;
    let all = house.root().join("containers");
    let gone = || std::fs::read_dir(&all).is_ok_and(|mut left| left.next().is_none());
    wait_until("it has gone by itself", PATIENCE, gone)?;
    house.nothing_left()
}

fn stop_asks_and_then_kills() -> Result<(), Failed> {
    let house = House::new()?;
    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    house.dockster(["run", "-d", "--name", "deaf", "busybox", "sh", "-c", deaf]).success()?;
    wait_for_log(&house, "deaf", "ready")?;
    let before = Instant::now();
    house.dockster(["stop", "-t", "1", "deaf"]).success()?;
    assert!(before.elapsed() >= Duration::from_secs(1), "it was not given a second");
    assert!(before.elapsed() < scaled(Duration::from_secs(9)), "{:?}", before.elapsed());
    assert_eq!(field(&house, "deaf", ".State.ExitCode")?, "137");
    house.dockster(["stop", "deaf"]).success()?;
    // With a signal of its own.
    let usr = "trap 'exit 4' USR1; echo ready; while :; do sleep 0.05; done";
    let words = ["run", "-d", "--stop-signal", "USR1", "--name", "usr", "busybox", "sh", "-c", usr];
    house.dockster(words).success()?;
    wait_for_log(&house, "usr", "ready")?;
    let done = house.dockster(["stop", "nosuch", "usr"]).code(1)?;
    assert_eq!(done.stdout, "usr\n");
    one_sentence(&done, "No such container: nosuch")?;
    assert_eq!(field(&house, "usr", ".State.ExitCode")?, "4");
    house.dockster(["rm", "usr", "deaf"]).success()?;
    house.nothing_left()
}

fn kill_sends_any_signal() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "trap 'echo got' USR2; echo ready; while :; do sleep 0.05; done";
    house.dockster(["run", "-d", "--name", "it", "busybox", "sh", "-c", script]).success()?;
    wait_for_log(&house, "it", "ready")?;
    assert_eq!(house.dockster(["kill", "-s", "USR2", "it"]).success()?.stdout, "it\n");
    wait_for_log(&house, "it", "got")?;
    one_sentence(&house.dockster(["kill", "-s", "NONE", "it"]).code(1)?, "invalid signal")?;
    house.dockster(["kill", "it"]).success()?;
    house.dockster(["ps", "-a"]).success()?.says("Exited (137)")?;
    one_sentence(&house.dockster(["kill", "it"]).code(1)?, "is not running")?;
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn wait_prints_the_status() -> Result<(), Failed> {
    let house = House::new()?;
    for code in ["0", "3", "255"] {
        let script = format!("sleep 0.3; exit {code}");
        house.dockster(["run", "-d", "--name", "it", "busybox", "sh", "-c", &script]).success()?;
        assert_eq!(house.dockster(["wait", "it"]).success()?.stdout, format!("{code}\n"));
        assert_eq!(house.dockster(["wait", "it"]).success()?.stdout, format!("{code}\n"));
        house.dockster(["rm", "it"]).success()?;
    }
    // Several who wait for one.
    house.dockster(["run", "-d", "--name", "it", "busybox", "sleep", "1000"]).success()?;
    let mut waiting: Vec<_> = (0..5)
        .map(|_| Background::start(house.dockster(["wait", "it"])))
        .collect::<Result<_, _>>()?;
    std::thread::sleep(Duration::from_millis(100));
    assert!(!waiting.iter_mut().any(Background::ended));
    house.dockster(["kill", "it"]).success()?;
    for one in &mut waiting {
        assert!(one.status()?.success());
    }
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn create_and_start() -> Result<(), Failed> {
    let house = House::new()?;
    house
        .dockster(["create", "--name", "it", "busybox", "sh", "-c", "echo said; exit 5"])
        .success()?;
    assert_eq!(field(&house, "it", ".State.Status")?, "created");
    assert!(house.dockster(["ps", "-q"]).success()?.stdout.is_empty());
    house.dockster(["ps", "-a"]).success()?.says("Created")?;
    assert_eq!(house.dockster(["start", "it"]).success()?.stdout, "it\n");
    assert_eq!(house.dockster(["wait", "it"]).success()?.stdout, "5\n");
    let done = house.dockster(["start", "-a", "it"]).code(5)?;
    assert_eq!(done.stdout, "said\n");
    assert_eq!(house.dockster(["logs", "it"]).success()?.stdout, "said\nsaid\n");
    // Who was only made is removed at once.
    house.dockster(["create", "--name", "other", "busybox"]).code(125)?;
    house.dockster(["create", "--name", "other", "busybox", "true"]).success()?;
    let same = house.dockster(["create", "--name", "other", "busybox", "true"]).code(125)?;
    one_sentence(&same, "Conflict. The container name \"/other\" is already in use")?;
    house.dockster(["rm", "it", "other"]).success()?;
    house.nothing_left()
}

fn restart_keeps_files() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "echo x >>/count; cat /count | wc -l; exec sleep 1000";
    house.dockster(["run", "-d", "--name", "it", "busybox", "sh", "-c", script]).success()?;
    wait_for_log(&house, "it", "1\n")?;
    house.dockster(["restart", "-t", "0", "it"]).success()?;
    wait_for_log(&house, "it", "2\n")?;
    house.dockster(["kill", "it"]).success()?;
    house.dockster(["start", "it"]).success()?;
    wait_for_log(&house, "it", "3\n")?;
    assert_eq!(house.dockster(["start", "it"]).success()?.stdout, "it\n");
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}

fn a_start_that_fails() -> Result<(), Failed> {
    let house = House::new()?;
    let done = house.dockster(["run", "-d", "--name", "it", "busybox", "nosuch"]).code(127)?;
    one_sentence(&done, "\"nosuch\": executable file not found in $PATH")?;
    // As with docker it is there, to be looked at.
    house.dockster(["ps", "-a"]).success()?.says("Created")?;
    assert_eq!(field(&house, "it", ".State.ExitCode")?, "127");
    house.dockster(["start", "it"]).code(1)?;
    house.dockster(["rm", "it"]).success()?;
    house.dockster(["run", "-d", "--rm", "busybox", "/etc/passwd"]).code(126)?;
    house.nothing_left()
}

fn rm_with_force() -> Result<(), Failed> {
    let house = House::new()?;
    let deaf = "trap '' TERM; while :; do sleep 0.05; done";
    house.dockster(["run", "-d", "--name", "it", "busybox", "sh", "-c", deaf]).success()?;
    one_sentence(&house.dockster(["rm", "it"]).code(1)?, "container is running")?;
    house.dockster(["rm", "-f", "it"]).success()?;
    let all = ["run", "-d", "--restart", "always", "--name", "it", "busybox", "sh", "-c", deaf];
    house.dockster(all).success()?;
    house.dockster(["rm", "-f", "it", "nosuch"]).success()?;
    house.nothing_left()
}

fn many_at_once() -> Result<(), Failed> {
    let house = House::new()?;
    let count = if dockster_tests::host().is_slow() { 6 } else { 40 };
    let runs: Vec<_> = (0..count)
        .map(|number| {
            let script = format!("exit {number}");
            let words = ["run", "-d", "busybox", "sh", "-c", &script];
            Background::start(house.dockster(words))
        })
        .collect::<Result<_, _>>()?;
    for mut run in runs {
        assert!(run.status()?.success(), "{}", run.stderr());
    }
    let ids = house.containers()?;
    assert_eq!(ids.len(), count);
    let words = ["wait"].into_iter().chain(ids.iter().map(String::as_str));
    let mut codes: Vec<usize> = house
        .dockster(words)
        .success()?
        .stdout
        .lines()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    codes.sort_unstable();
    assert_eq!(codes, (0..count).collect::<Vec<_>>());
    house.dockster(["rm"].into_iter().chain(ids.iter().map(String::as_str))).success()?;
    house.nothing_left()
}

fn pause_and_unpause() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done";
    house.dockster(["run", "-d", "--name", "it", "busybox", "sh", "-c", script]).success()?;
    wait_for_log(&house, "it", "2\n")?;
    house.dockster(["pause", "it"]).success()?;
    house.dockster(["ps"]).success()?.says("(Paused)")?;
    assert_eq!(field(&house, "it", ".State.Status")?, "paused");
    let lines = || house.dockster(["logs", "it"]).success().map(|done| done.stdout.lines().count());
    // What was in the pipe comes through yet.
    std::thread::sleep(Duration::from_millis(100));
    let before = lines()?;
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(lines()?, before);
    one_sentence(&house.dockster(["pause", "it"]).code(1)?, "already paused")?;
    house.dockster(["unpause", "it"]).success()?;
    wait_until("it goes on", PATIENCE, || lines().is_ok_and(|now| now > before))?;
    // Who stands still can be stopped all the same.
    house.dockster(["pause", "it"]).success()?;
    house.dockster(["stop", "-t", "1", "it"]).success()?;
    house.dockster(["start", "it"]).success()?;
    house.dockster(["pause", "it"]).success()?;
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}

fn rename_and_update() -> Result<(), Failed> {
    let house = House::new()?;
    house
        .dockster(["run", "-d", "--name", "old", "-m", "64m", "busybox", "sleep", "1000"])
        .success()?;
    house.dockster(["rename", "old", "new"]).success()?;
    house.dockster(["ps"]).success()?.says(" new\n")?;
    one_sentence(&house.dockster(["rename", "old", "x1"]).code(1)?, "No such container: old")?;
    house.dockster(["create", "--name", "old", "busybox", "true"]).success()?;
    one_sentence(&house.dockster(["rename", "old", "new"]).code(1)?, "Conflict")?;
    let words =
        ["update", "-m", "128m", "--memory-swap", "256m", "--restart", "on-failure:2", "new"];
    house.dockster(words).success()?;
    assert_eq!(field(&house, "new", ".HostConfig.Memory")?, (128 << 20).to_string());
    let policy = field(&house, "new", "json .HostConfig.RestartPolicy")?;
    assert!(policy.contains("\"on-failure\"") && policy.contains("2"), "{policy}");
    house.dockster(["restart", "-t", "0", "new"]).success()?;
    assert_eq!(field(&house, "new", ".HostConfig.Memory")?, (128 << 20).to_string());
    house.dockster(["rm", "-f", "new", "old"]).success()?;
    house.nothing_left()
}
