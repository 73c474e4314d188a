//! Limits that limit, and say so.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use dockster_tests::{Failed, Need, Trial, host, wait_until};

use crate::tools::{Background, House, PATIENCE, alone, beside, init_of, one_sentence};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("memory_that_is_too_much_is_named", &[Need::Limits], memory_that_is_too_much),
        beside(
            "memory_too_small_to_start_in_is_named",
            &[Need::Limits],
            memory_too_small_to_start_in,
        ),
        beside("a_fork_bomb_stays_inside", &[Need::Limits], a_fork_bomb_stays_inside),
        alone("half_a_processor", &[Need::Limits], half_a_processor),
        without_delegation(),
    ]
}

fn without_delegation() -> Trial {
    let name = "limits_without_delegation_say_what_to_do";
    let trial = beside(name, &[Need::User], limits_without_delegation);
    match host().root || host().limits.is_err() {
        true => trial,
        false => trial.with_kind("a cgroup is delegated here").with_ignored_flag(true),
    }
}

/// A program that wants 200 MB.
const EAT: &str =
    r#"BEGIN { s = "x"; while (length(s) < 200 * 1024 * 1024) s = s s; print length(s) }"#;

fn memory_that_is_too_much() -> Result<(), Failed> {
    let house = House::new()?;
    let done = house.run(["-m", "64m", "busybox", "awk", EAT]).code(137)?;
    one_sentence(&done, "memory limit")?;
    assert_eq!(done.stdout, "");
    house.nothing_left()?;
    // With enough of it, it does its work.
    house.run(["-m", "1g", "busybox", "awk", EAT]).success()?;
    // The record of a container that stays says it, too.
    house.dockster(["run", "--name", "fat", "-m", "64m", "busybox", "awk", EAT]).code(137)?;
    house.dockster(["ps", "-a"]).success()?.says("Exited (137)")?;
    house.dockster(["rm", "fat"]).success()?;
    house.nothing_left()
}

/// With the least memory that is allowed: whatever is too much, the sentence says memory.
fn memory_too_small_to_start_in() -> Result<(), Failed> {
    let house = House::new()?;
    // What a program is given at its start counts, too.
    let value = "x".repeat(120_000);
    let mut run = house.run(["-m", "6m", "--memory-swap", "6m"]);
    for number in 0..12 {
        run = run.args(["-e", &format!("V{number}={value}")]);
    }
    let done = run.args(["busybox", "awk", EAT]).done()?;
    assert!(matches!(done.status.code(), Some(125 | 126 | 137)), "{}", done.status);
    one_sentence(&done, "memory limit")?;
    house.nothing_left()
}

/// Where a controller keeps the files of the container's cgroup.
fn cgroup(run: &Background, controller: &str) -> Result<PathBuf, Failed> {
    let init = init_of(run.pid()).ok_or("no first process")?;
    let lines = fs::read_to_string(format!("/proc/{init}/cgroup"))?;
    for line in lines.lines() {
        let [_, controllers, path] = line.splitn(3, ':').collect::<Vec<_>>()[..] else { continue };
        let path = path.trim_start_matches('/');
        if controllers.split(',').any(|name| name == controller) {
            return Ok(PathBuf::from("/sys/fs/cgroup").join(controller).join(path));
        }
        if controllers.is_empty() && host().cgroups == dockster_tests::Cgroups::V2 {
            return Ok(PathBuf::from("/sys/fs/cgroup").join(path));
        }
    }
    Err(format!("no {controller} in:\n{lines}").into())
}

/// The number that follows `key` in a file of `key number` lines.
fn counter(dir: &std::path::Path, file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
    value.unwrap_or(0)
}

fn a_fork_bomb_stays_inside() -> Result<(), Failed> {
    let house = House::new()?;
    // It forks until nothing goes any more; its children stay.
    let bomb = "echo ready; (while :; do sleep 1000 & done) 2>/dev/null; exec sleep 1000";
    let mut run = Background::ready(house.sh(["--name", "bomb", "--pids-limit", "20"], bomb))?;
    let dir = cgroup(&run, "pids")?;
    wait_until("a fork has failed", PATIENCE, || counter(&dir, "pids.events", "max") > 0)?;
    let processes = fs::read_to_string(dir.join("pids.current"))?.trim().parse::<u32>()?;
    assert!(processes <= 20, "{processes} processes");

    let listed = house.dockster(["ps"]).success()?;
    listed.says("bomb")?.says("Up")?;
    house.run(["busybox", "true"]).success()?;
    house.dockster(["rm", "--force", "bomb"]).success()?;
    assert_eq!(run.status()?.code(), Some(137));
    assert!(!dir.exists(), "its cgroup is still there");
    house.nothing_left()
}

fn half_a_processor() -> Result<(), Failed> {
    let house = House::new()?;
    let run = Background::ready(house.sh(["--cpus", "0.5"], "echo ready; while :; do :; done"))?;
    let dir = cgroup(&run, "cpu")?;
    // In seconds; v1 counts in another directory.
    let used = || -> Result<f64, Failed> {
        if host().cgroups == dockster_tests::Cgroups::V2 {
            return Ok(counter(&dir, "cpu.stat", "usage_usec") as f64 / 1e6);
        }
        let usage = fs::read_to_string(cgroup(&run, "cpuacct")?.join("cpuacct.usage"))?;
        Ok(usage.trim().parse::<u64>()? as f64 / 1e9)
    };
    // It never gets more. Less it may get from a machine that has other things to do:
    // then once more.
    let mut shares = Vec::new();
    while shares.len() < 5 && !shares.iter().any(|share| (0.45..=0.55).contains(share)) {
        let (start, before) = (Instant::now(), used()?);
        sleep(Duration::from_secs(5));
        shares.push((used()? - before) / start.elapsed().as_secs_f64());
        if host().is_slow() {
            break;
        }
    }
    assert!(counter(&dir, "cpu.stat", "nr_throttled") > 0, "it was never throttled");
    if !host().is_slow() {
        assert!(shares.iter().all(|&share| share <= 0.55), "it used {shares:.3?} of a processor");
        assert!(shares.iter().any(|&share| share >= 0.45), "it used {shares:.3?} of a processor");
    }
    drop(run);
    house.dockster(["ps"]).success()?;
    house.nothing_left()
}

/// Where an ordinary user has no cgroup, limits are refused with a sentence, not ignored.
fn limits_without_delegation() -> Result<(), Failed> {
    let house = House::new()?;
    let done = house.run(["-m", "64m", "busybox", "true"]).code(125)?;
    one_sentence(&done, "cgroup")?;
    assert!(done.stderr.lines().count() > 1, "it does not say what to do: {}", done.stderr);
    house.nothing_left()
}
