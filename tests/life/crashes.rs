//! Somebody is killed: the command, the shim. And many who want the same at once.

use std::fs;

use dockster_tests::{Failed, Terminal, Trial, host, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::background::{POLITE, field, wait_for_log};
use crate::tools::{Background, House, PATIENCE, alone, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("a_killed_command_leaves_it_alone", &[], a_killed_command),
        beside("a_killed_shim_is_noticed", &[], a_killed_shim),
        beside("a_killed_shim_and_a_policy", &[], a_killed_shim_and_a_policy),
        beside("whoever_waits_hears_of_a_killed_shim", &[], whoever_waits),
        beside("a_killed_shim_whose_container_has_ended", &[], a_shim_after_the_end),
        beside("a_kill_at_any_step_of_a_start_leaves_nothing", &[], a_kill_at_any_step),
        beside("a_shim_killed_at_any_step_leaves_nothing", &[], a_shim_killed_at_any_step),
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

/// The command is killed while its clone starts the container: it runs, or is gone.
fn a_kill_at_any_step() -> Result<(), Failed> {
    let house = House::new()?;
    for step in ["record", "cgroup", "clone3", "rootfs", "pivot_root", "credentials", "execve"] {
        if step == "cgroup" && host().limits.is_err() {
            continue;
        }
        let pause = format!("--pause={step}");
        let words = ["run", "-d", "--name", "again", &pause, "busybox", "sleep", "1000"];
        let mut terminal = Terminal::spawn(house.dockster(words).into_command(), 30, 100)?;
        terminal.wait_for("Enter goes on")?;
        kill(Pid::from_raw(terminal.pid() as i32), Signal::SIGKILL)?;
        terminal.finish()?;
        let settled = || {
            house.dockster(["rm", "-f", "again"]).done().is_ok_and(|done| {
                done.status.success() && house_entries(&house).is_ok_and(|left| left.is_empty())
            })
        };
        wait_until(&format!("killed at {step} it can be removed"), PATIENCE, settled)?;
        house.nothing_left()?;
    }
    Ok(())
}

/// The clone is killed on its way: the command says so, and the next one clears away.
fn a_shim_killed_at_any_step() -> Result<(), Failed> {
    let house = House::new()?;
    for step in ["cgroup", "clone3", "rootfs", "pivot_root", "credentials", "execve"] {
        if step == "cgroup" && host().limits.is_err() {
            continue;
        }
        let pause = format!("--pause={step}");
        let words = ["run", "-d", "--name", "again", &pause, "busybox", "sleep", "1000"];
        let mut terminal = Terminal::spawn(house.dockster(words).into_command(), 30, 100)?;
        terminal.wait_for("Enter goes on")?;
        let terminal_pid = terminal.pid() as i32;
        // The first steps of this name may make the shim, and for an ordinary user the
        // inner program.
        let mut times = 1;
        let below = || crate::tools::descendants(terminal_pid);
        while below().len() <= usize::from(!host().root) {
            times += 1;
            terminal.type_keys("\r")?;
            terminal.wait_for_times("Enter goes on", times)?;
        }
        let below = below();
        let shim = below.get(usize::from(!host().root)).ok_or("no shim")?;
        kill(Pid::from_raw(*shim), Signal::SIGKILL)?;
        terminal.type_keys("\r")?;
        assert_eq!(terminal.finish()?.code(), Some(125), "{step}");
        let gone = || house.containers().is_ok_and(|left| left.is_empty());
        wait_until(&format!("killed at {step} it is gone"), PATIENCE, || {
            let _ = house.dockster(["rm", "-f", "again"]).done();
            gone()
        })?;
        house.nothing_left()?;
    }
    Ok(())
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
