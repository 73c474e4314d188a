//! Nothing is left behind: after many runs, and after the runtime has failed or was
//! killed at every step that there is.

use std::time::Duration;

use dockster_tests::{Failed, Fingerprint, Need, Terminal, Trial, host, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::tools::{Background, House, PATIENCE, alone, init_of, one_sentence, steps_in};

pub fn trials() -> Vec<Trial> {
    vec![
        alone("two_hundred_runs_leave_the_host_as_it_was", &[Need::Speed], two_hundred_runs),
        alone("fifty_runs_at_once_leave_the_host_as_it_was", &[Need::Speed], fifty_runs_at_once),
        alone("a_failure_at_any_step_leaves_nothing", &[], a_failure_at_any_step),
        alone("a_kill_at_any_step_leaves_nothing", &[], a_kill_at_any_step),
        alone("a_kill_while_it_runs_leaves_nothing", &[], a_kill_while_it_runs),
        alone("a_kill_of_what_runs_in_the_user_namespace", &[Need::User], a_kill_in_the_namespace),
    ]
}

fn two_hundred_runs() -> Result<(), Failed> {
    let house = House::new()?;
    let before = Fingerprint::of_host();
    for _ in 0..200 {
        house.run(["busybox", "true"]).success()?;
    }
    before.unchanged(Duration::from_secs(10))?;
    house.nothing_left()
}

fn fifty_runs_at_once() -> Result<(), Failed> {
    let house = House::new()?;
    let before = Fingerprint::of_host();
    let runs: Vec<_> = (0..50)
        .map(|number| Background::start(house.sh([], &format!("exit {number}"))))
        .collect::<Result<_, _>>()?;
    for (number, mut run) in runs.into_iter().enumerate() {
        let status = run.status()?;
        assert_eq!(status.code(), Some(number as i32), "{}", run.stderr());
    }
    // And of as many with one name, one at a time gets it.
    let same = ["--name", "same", "busybox", "sleep", "0.2"];
    let runs: Vec<_> =
        (0..50).map(|_| Background::start(house.run(same))).collect::<Result<_, _>>()?;
    let mut statuses = Vec::new();
    for mut run in runs {
        statuses.push(run.status()?.code());
        assert!(matches!(statuses.last(), Some(Some(0 | 125))), "{:?}: {}", statuses, run.stderr());
    }
    assert!(statuses.contains(&Some(0)), "nobody got the name");
    before.unchanged(Duration::from_secs(10))?;
    house.nothing_left()
}

/// Options that take the container over as many steps as possible.
fn options() -> Vec<&'static str> {
    let mut all = vec!["--name", "again", "--hostname", "box", "--read-only", "--tmpfs", "/tmp"];
    if host().limits.is_ok() {
        all.extend(["-m", "64m", "--pids-limit", "50"]);
    }
    all
}

/// The way of a container that is watched at `step`, on a terminal of its own.
fn watched(house: &House, watch: &str) -> Result<Terminal, Failed> {
    house.terminal(options().into_iter().chain(["-it", watch, "busybox", "true"]))
}

/// All steps of such a container, found out by looking: name, and how often it is taken.
fn steps(house: &House) -> Result<Vec<(String, usize)>, Failed> {
    let mut terminal = watched(house, "--explain")?;
    let status = terminal.finish()?;
    if !status.success() {
        return Err(terminal.failed("it does not even run"));
    }
    let steps = steps_in(&terminal.transcript());
    for known in ["record", "clone3", "pty", "pivot_root", "execve", "forget"] {
        assert!(steps.iter().any(|(name, _)| name == known), "{known} is not among {steps:?}");
    }
    Ok(steps)
}

/// The name is free, and everything works.
fn works_again(house: &House, after: &str) -> Result<(), Failed> {
    let told =
        |failed: Failed| Failed::from(format!("{after}: {}", failed.message().unwrap_or("")));
    house.nothing_left().map_err(told)?;
    house.run(options()).args(["busybox", "true"]).success().map_err(told)?;
    house.nothing_left().map_err(told)
}

fn a_failure_at_any_step() -> Result<(), Failed> {
    let house = House::new()?;
    for (step, _) in steps(&house)?.iter().filter(|(step, _)| step != "pty") {
        let fail = format!("--fail={step}");
        let done = house.run(options()).args([&*fail, "busybox", "true"]).done()?;
        if step == "execve" {
            assert!(matches!(done.status.code(), Some(125 | 126)), "{step}: {}", done.status);
        } else {
            assert_eq!(done.status.code(), Some(125), "{step}: {}", done.stderr);
        }
        one_sentence(&done, &format!("dockster: {step}: "))?;
        // Tear-down that has failed is done again by the next command; all else was done.
        if ["remove-cgroup", "detach", "forget"].contains(&step.as_str()) {
            house.dockster(["ps"]).success()?;
        }
        works_again(&house, &fail)?;
    }
    let mut terminal = watched(&house, "--fail=pty")?;
    assert_eq!(terminal.finish()?.code(), Some(125));
    works_again(&house, "--fail=pty")
}

fn a_kill_at_any_step() -> Result<(), Failed> {
    let house = House::new()?;
    for (step, count) in steps(&house)? {
        // At the first time that it is taken, and at the last.
        for time in if count > 1 { vec![1, count] } else { vec![1] } {
            let pause = format!("--pause={step}");
            let mut terminal = watched(&house, &pause)?;
            for number in 1..=time {
                terminal.wait_for_times("Enter goes on", number)?;
                if number < time {
                    terminal.type_keys("\r")?;
                }
            }
            kill(Pid::from_raw(terminal.pid() as i32), Signal::SIGKILL)?;
            terminal.finish()?;
            assert!(house.containers()?.is_empty(), "after a kill at {step} it is still listed");
            works_again(&house, &format!("killed at {step}, time {time}"))?;
        }
    }
    Ok(())
}

const SLEEP: [&str; 4] = ["busybox", "sh", "-c", "echo ready; sleep 1000 & exec sleep 2000"];

fn a_kill_while_it_runs() -> Result<(), Failed> {
    let house = House::new()?;
    // What was to be removed is removed.
    let run = Background::ready(house.run(options()).args(SLEEP))?;
    run.signal(Signal::SIGKILL)?;
    drop(run);
    assert!(house.containers()?.is_empty());
    works_again(&house, "killed while it runs")?;
    // What was to stay stays, and says how it ended.
    let run = house.dockster(["run"]).args(options()).args(SLEEP);
    let run = Background::ready(run)?;
    let init = init_of(run.pid()).ok_or("no first process")?;
    drop(run);
    house.dockster(["ps"]).success()?;
    let gone = || !std::path::Path::new(&format!("/proc/{init}")).exists();
    wait_until("its first process has ended", PATIENCE, gone)?;
    let listed = house.dockster(["ps", "--all"]).success()?;
    listed.says("Exited (137)")?.says("again")?;
    house.dockster(["rm", "again"]).success()?;
    works_again(&house, "killed while it runs, and kept")
}

/// An ordinary user's runtime is two processes: the inner one is killed.
fn a_kill_in_the_namespace() -> Result<(), Failed> {
    let house = House::new()?;
    let mut run = Background::ready(house.run(options()).args(SLEEP))?;
    let init = init_of(run.pid()).ok_or("no first process")?;
    let inner: i32 = crate::tools::status_field(init, "PPid").unwrap_or_default().parse()?;
    kill(Pid::from_raw(inner), Signal::SIGKILL)?;
    assert_eq!(run.status()?.code(), Some(137));
    drop(run);
    assert!(house.containers()?.is_empty());
    works_again(&house, "the inner process killed")
}
