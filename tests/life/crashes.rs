//! Somebody is killed: the command, the shim. And many who want the same at once.

use std::fs;

use dockster_tests::{Failed, Need, Run, Terminal, Trial, find_program, host, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::background::{POLITE, field, wait_for_log};
use crate::tools::{Background, DOCKSTER, House, PATIENCE, alone, beside, steps_in};

/// Under strace no set-uid program works, and so no ranges of an ordinary user.
const REMOVAL: [Need; 2] = [Need::Root, Need::Program("strace")];

pub fn trials() -> Vec<Trial> {
    vec![
        beside("a_killed_command_leaves_it_alone", &[], a_killed_command),
        beside("a_killed_shim_is_noticed", &[], a_killed_shim),
        beside("a_killed_shim_and_a_policy", &[], a_killed_shim_and_a_policy),
        beside("whoever_waits_hears_of_a_killed_shim", &[], whoever_waits),
        beside("a_killed_shim_whose_container_has_ended", &[], a_shim_after_the_end),
        beside("a_kill_at_any_step_of_a_start_leaves_nothing", &[], a_kill_at_any_step),
        beside("a_shim_killed_at_any_step_leaves_nothing", &[], a_shim_killed_at_any_step),
        beside("a_shim_killed_at_any_moment_leaves_nothing", &[], a_shim_killed_at_any_moment),
        beside("a_verb_killed_at_any_moment_leaves_nothing", &[], a_verb_killed_at_any_moment),
        beside("a_count_of_restarts_holds_over_killed_shims", &[], a_count_holds_over_killed_shims),
        beside("a_removal_killed_at_any_unlink_goes_on", &REMOVAL, a_removal_killed_at_any_unlink),
        alone("two_hundred_creates_with_one_name", &[], two_hundred_creates),
        alone("two_hundred_creates_with_many_names", &[], two_hundred_names),
    ]
}

/// All shims of this house.
pub fn shims_of(house: &House) -> Vec<i32> {
    let root = format!("root={}", house.root().display());
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.next() == Some(b"dockster-shim") && words.next() == Some(root.as_bytes())
    })
    .collect()
}

/// The only one.
pub fn shim_of(house: &House) -> Result<i32, Failed> {
    match shims_of(house)[..] {
        [one] => Ok(one),
        ref all => Err(format!("{} shims", all.len()).into()),
    }
}

/// Kills all of them, and waits until they are gone.
pub fn kill_shims(house: &House) -> Result<(), Failed> {
    for shim in shims_of(house) {
        kill(Pid::from_raw(shim), Signal::SIGKILL)?;
    }
    // A process that was killed needs a moment.
    wait_until("the shims are gone", PATIENCE, || shims_of(house).is_empty())
}

fn kill_shim(house: &House) -> Result<(), Failed> {
    shim_of(house).and_then(|_| kill_shims(house))
}

fn a_killed_command() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["create", "--name", "it", "busybox", "sh", "-c", POLITE]).success()?;
    let client = Background::ready(house.dockster(["start", "-a", "it"]))?;
    drop(client);
    assert_eq!(field(&house, "it", ".State.Status")?, "running");
    house.dockster(["stop", "it"]).success()?;
    assert_eq!(field(&house, "it", ".State.ExitCode")?, "9");
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn a_killed_shim() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "echo ready; sleep 1000 & sleep 2000";
    house.dockster(["run", "-d", "--name", "it", "busybox", "sh", "-c", script]).success()?;
    wait_for_log(&house, "it", "ready")?;
    let pid = field(&house, "it", ".State.Pid")?;
    kill_shim(&house)?;
    house.dockster(["ps", "-a"]).success()?.says("Exited (137)")?;
    assert_eq!(field(&house, "it", ".State.Error")?, "monitor lost");
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z"), "it still runs: {state}");
    assert_eq!(house.dockster(["wait", "it"]).success()?.stdout, "137\n");
    house.dockster(["start", "it"]).success()?;
    house.dockster(["rm", "-f", "it"]).success()?;
    // One that was to be removed is removed.
    house.dockster(["run", "-d", "--rm", "busybox", "sleep", "1000"]).success()?;
    kill_shim(&house)?;
    assert!(house.containers()?.is_empty());
    house.nothing_left()
}

fn a_killed_shim_and_a_policy() -> Result<(), Failed> {
    let house = House::new()?;
    for policy in ["always", "on-failure", "unless-stopped"] {
        let words = ["run", "-d", "--name", "it", "--restart", policy, "busybox", "sleep", "1000"];
        house.dockster(words).success()?;
        let pid = field(&house, "it", ".State.Pid")?;
        kill_shim(&house)?;
        house.dockster(["ps"]).success()?.says(" it\n")?;
        assert_ne!(field(&house, "it", ".State.Pid")?, pid, "{policy}");
        assert_eq!(field(&house, "it", ".RestartCount")?, "1", "{policy}");
        house.dockster(["rm", "-f", "it"]).success()?;
    }
    house.nothing_left()
}

fn whoever_waits() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["run", "-d", "--name", "it", "busybox", "sh", "-c", POLITE]).success()?;
    let mut waiting = Background::start(house.dockster(["wait", "it"]))?;
    std::thread::sleep(std::time::Duration::from_millis(200));
    kill_shim(&house)?;
    assert!(waiting.status()?.success());
    assert_eq!(field(&house, "it", ".State.ExitCode")?, "137");
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

/// It could not tell anybody how its container has ended.
fn a_shim_after_the_end() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["run", "-d", "--name", "it", "busybox", "sh", "-c", POLITE]).success()?;
    wait_for_log(&house, "it", "ready")?;
    let shim = Pid::from_raw(shim_of(&house)?);
    kill(shim, Signal::SIGSTOP)?;
    let record = fs::read_to_string(
        house.root().join("containers").join(&whole_id(&house)?).join("state.json"),
    )?;
    let pid = record.split("\"init\": {").nth(1).and_then(|rest| rest.split("\"pid\": ").nth(1));
    let pid = pid.and_then(|rest| rest.split([',', '\n']).next()).ok_or("no pid")?;
    kill(Pid::from_raw(pid.trim().parse()?), Signal::SIGKILL)?;
    kill_shims(&house)?;
    house.dockster(["ps", "-a"]).success()?.says("Exited (137)")?;
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn whole_id(house: &House) -> Result<String, Failed> {
    let listed = house_entries(house)?;
    listed.into_iter().next().ok_or_else(|| "no container".into())
}

fn house_entries(house: &House) -> Result<Vec<String>, Failed> {
    let entries = fs::read_dir(house.root().join("containers"))?;
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// The words of a container in the background that is watched at its steps.
fn watched(house: &House, watch: &str) -> Result<Terminal, Failed> {
    let mut words = vec!["run", "-d", "--name", "again", watch];
    if host().limits.is_ok() {
        words.extend(["-m", "64m"]);
    }
    words.extend(["busybox", "sleep", "1000"]);
    Ok(Terminal::spawn(house.dockster(words).into_command(), 30, 100)?)
}

/// All steps of a start, found out by looking; on the slow machine some of them.
fn steps(house: &House) -> Result<Vec<(String, usize)>, Failed> {
    let mut terminal = watched(house, "--explain")?;
    assert_eq!(terminal.finish()?.code(), Some(0));
    house.dockster(["rm", "-f", "again"]).success()?;
    let mut steps = steps_in(&terminal.transcript());
    let few = ["record", "cgroup", "clone3", "pivot_root", "execve"];
    for known in ["record", "clone3", "rootfs", "pivot_root", "credentials", "execve"] {
        assert!(steps.iter().any(|(name, _)| name == known), "{known} is not among {steps:?}");
    }
    steps.retain(|(name, _)| !host().is_slow() || few.contains(&name.as_str()));
    Ok(steps)
}

/// Goes on to the step's next time.
fn go_on(terminal: &mut Terminal, number: usize) -> Result<(), Failed> {
    if number > 1 {
        terminal.type_keys("\r")?;
    }
    terminal.wait_for_times("Enter goes on", number)
}

/// It runs and can be reached, or it is gone, or it can be removed; then nothing is left.
fn reachable_or_removable(house: &House, after: &str) -> Result<(), Failed> {
    let told =
        |failed: Failed| Failed::from(format!("{after}: {}", failed.message().unwrap_or("")));
    let running = house.dockster(["ps", "-q", "-f", "name=^/again$", "-f", "status=running"]);
    if !running.done()?.stdout.is_empty() {
        // It may still be on its way to its program.
        let reached =
            || house.dockster(["exec", "again", "true"]).done().is_ok_and(|d| d.status.success());
        let lives = || {
            let words = ["ps", "-q", "-f", "name=^/again$", "-f", "status=running"];
            house.dockster(words).done().is_ok_and(|done| !done.stdout.is_empty())
        };
        wait_until("it is reached or gone", PATIENCE, || reached() || !lives()).map_err(told)?;
    }
    let removed = || {
        house.dockster(["rm", "-f", "again"]).done().is_ok_and(|done| {
            done.status.success() && house_entries(house).is_ok_and(|left| left.is_empty())
        })
    };
    wait_until("it can be removed", PATIENCE, removed).map_err(told)?;
    house.nothing_left().map_err(told)
}

/// The command is killed while its clone starts the container.
fn a_kill_at_any_step() -> Result<(), Failed> {
    let house = House::new()?;
    for (step, count) in steps(&house)? {
        for time in if count > 1 { vec![1, count] } else { vec![1] } {
            let mut terminal = watched(&house, &format!("--pause={step}"))?;
            for number in 1..=time {
                go_on(&mut terminal, number)?;
            }
            kill(Pid::from_raw(terminal.pid() as i32), Signal::SIGKILL)?;
            terminal.finish()?;
            reachable_or_removable(&house, &format!("the command killed at {step}, time {time}"))?;
        }
    }
    Ok(())
}

/// The clone is killed on its way: the command says so, and the next one clears away.
fn a_shim_killed_at_any_step() -> Result<(), Failed> {
    let house = House::new()?;
    // For an ordinary user the first below is the inner program.
    let inner = usize::from(!host().root);
    for (step, count) in steps(&house)? {
        let mut terminal = watched(&house, &format!("--pause={step}"))?;
        let pid = terminal.pid() as i32;
        let mut shim = None;
        // The first times of this step may be before there is a shim.
        for number in 1..=count {
            go_on(&mut terminal, number)?;
            shim = crate::tools::descendants(pid).get(inner).copied();
            if shim.is_some() {
                break;
            }
        }
        let Some(shim) = shim else {
            terminal.type_keys("\r")?;
            terminal.finish()?;
            house.dockster(["rm", "-f", "again"]).success()?;
            continue;
        };
        kill(Pid::from_raw(shim), Signal::SIGKILL)?;
        terminal.type_keys("\r")?;
        assert_eq!(terminal.finish()?.code(), Some(125), "{step}");
        reachable_or_removable(&house, &format!("the shim killed at {step}"))?;
    }
    Ok(())
}

/// Its steps later on nobody can watch: it is killed at one moment after the other, while
/// its container lives, ends, is started again and is taken down.
fn a_shim_killed_at_any_moment() -> Result<(), Failed> {
    let house = House::new()?;
    let moments = if host().is_slow() { 3 } else { 30 };
    for moment in 0..moments {
        let words = ["run", "-d", "--name", "again", "--restart", "on-failure:3"];
        house.dockster(words).args(["busybox", "sh", "-c", "exit 1"]).success()?;
        std::thread::sleep(std::time::Duration::from_millis(7 * moment));
        kill_shims(&house)?;
        reachable_or_removable(&house, &format!("the shim killed after {} ms", 7 * moment))?;
    }
    Ok(())
}

/// The command that stops, starts again or removes is killed at one moment after the other.
fn a_verb_killed_at_any_moment() -> Result<(), Failed> {
    let house = House::new()?;
    let moments = if host().is_slow() { 2 } else { 12 };
    let verbs = [&["restart", "-t", "0"][..], &["rm", "-f"], &["exec"], &["stop", "-t", "0"]];
    for (number, verb) in verbs.into_iter().enumerate() {
        for moment in 0..moments {
            house
                .dockster(["run", "-d", "--name", "again", "busybox", "sleep", "1000"])
                .success()?;
            let rest: &[&str] = if number == 2 { &["again", "sleep", "50"] } else { &["again"] };
            let command = Background::start(house.dockster(verb.iter().chain(rest).copied()))?;
            std::thread::sleep(std::time::Duration::from_millis(3 * moment));
            drop(command);
            reachable_or_removable(&house, &format!("{verb:?} killed after {} ms", 3 * moment))?;
        }
    }
    Ok(())
}

/// What a killed `rm` has begun, the next command ends.
fn a_removal_killed_at_any_unlink() -> Result<(), Failed> {
    let house = House::new()?;
    let strace = find_program("strace").ok_or("no strace")?;
    let mut killed = 0;
    loop {
        house.dockster(["run", "--name", "again", "busybox", "touch", "file"]).success()?;
        let calls = "unlink,unlinkat,rmdir";
        let kill = format!("inject={calls}:signal=KILL:when={}", killed + 1);
        let done = Run::new(&strace)
            .args(["-qq", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &kill])
            .args([DOCKSTER, "rm", "again"])
            .env("DOCKSTER_ROOT", house.root())
            .done()?;
        house.dockster(["ps", "-a"]).success()?;
        if done.status.success() {
            break;
        }
        killed += 1;
        // Either it has not begun, or it is gone by now, with its name.
        if house_entries(&house)?.is_empty() {
            assert_eq!(fs::read_dir(house.root().join("names"))?.count(), 0);
        } else {
            house.dockster(["rm", "again"]).success()?;
        }
    }
    assert!(killed > 3, "killed {killed} times only");
    house.nothing_left()
}

/// So many starts were meant, whoever has made them.
fn a_count_holds_over_killed_shims() -> Result<(), Failed> {
    let house = House::new()?;
    let words = ["run", "-d", "--name", "it", "--restart", "on-failure:2", "busybox"];
    house.dockster(words).args(["sleep", "1000"]).success()?;
    for count in ["1", "2"] {
        kill_shim(&house)?;
        house.dockster(["ps"]).success()?.says(" it\n")?;
        assert_eq!(field(&house, "it", ".RestartCount")?, count);
    }
    kill_shim(&house)?;
    house.dockster(["ps", "-a"]).success()?.says("Exited (137)")?;
    assert_eq!(field(&house, "it", ".RestartCount")?, "2");
    // `start` begins to count anew.
    house.dockster(["start", "it"]).success()?;
    assert_eq!(field(&house, "it", ".RestartCount")?, "0");
    // Whom somebody has stopped no policy starts, also if the shim dies of it.
    let words = ["run", "-d", "--name", "other", "--restart", "unless-stopped", "busybox"];
    house
        .dockster(words)
        .args(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
        .success()?;
    house.dockster(["kill", "-s", "TERM", "other"]).success()?;
    kill_shims(&house)?;
    house.dockster(["ps"]).success()?.says(" it\n")?;
    assert_eq!(field(&house, "other", ".State.Status")?, "exited");
    house.dockster(["rm", "-f", "it", "other"]).success()?;
    house.nothing_left()
}

fn two_hundred_creates() -> Result<(), Failed> {
    let house = House::new()?;
    let count = if host().is_slow() { 10 } else { 200 };
    let same = ["create", "--name", "same", "busybox", "true"];
    let runs: Vec<_> =
        (0..count).map(|_| Background::start(house.dockster(same))).collect::<Result<_, _>>()?;
    let mut won = 0;
    for mut run in runs {
        match run.status()?.code() {
            Some(0) => won += 1,
            code => assert!(run.stderr().contains("Conflict"), "{code:?}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(house.containers()?.len(), 1);
    house.dockster(["rm", "same"]).success()?;
    house.nothing_left()
}

fn two_hundred_names() -> Result<(), Failed> {
    let house = House::new()?;
    let count = if host().is_slow() { 10 } else { 200 };
    let runs: Vec<_> = (0..count)
        .map(|number| {
            let name = format!("name{number}");
            Background::start(house.dockster(["create", "--name", &name, "busybox", "true"]))
        })
        .collect::<Result<_, _>>()?;
    for mut run in runs {
        assert!(run.status()?.success(), "{}", run.stderr());
    }
    let ids = house.containers()?;
    assert_eq!(ids.len(), count);
    house.dockster(["rm"].into_iter().chain(ids.iter().map(String::as_str))).success()?;
    house.nothing_left()
}
