//! Steps: told, timed, paused at, made to fail; and killed at, without a trace.

use std::time::Duration;

use dockster_tests::{Failed, Fingerprint, Need, Run, TempDir, Terminal, Trial, trial, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::held::{Held, STAY, children, is_gone, steps_of};
use crate::{clone, sh};

const NS: &[Need] = &[Need::UserNamespaces];
const SECONDS: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Trial> {
    vec![
        trial("steps_come_in_this_order", NS, steps_come_in_this_order),
        trial("steps_follow_the_options", &[Need::Root], steps_follow_the_options),
        trial("explain_tells_each_step_within_78_columns", NS, explain_tells_each_step),
        trial("a_step_that_fails_is_named", NS, || each_step_fails(&[])),
        trial("a_step_of_root_that_fails_is_named", &[Need::Root], || {
            each_step_fails(&["--no-user", "--clock-offset=5"])
        }),
        trial("a_step_of_join_that_fails_is_named", NS, join_steps_fail),
        trial("killed_at_each_step_nothing_is_left", NS, killed_at_each_step),
        trial("killed_at_each_step_of_join_nothing_is_left", NS, killed_at_each_step_of_join),
        trial("a_child_killed_at_a_step_is_a_death_before_execve", NS, child_killed_at_each_step),
        trial("ctrl_c_at_each_step_ends_it", NS, ctrl_c_at_each_step),
        trial("enter_goes_on", NS, enter_goes_on),
        trial("a_pause_without_a_terminal_reads_stdin", NS, a_pause_reads_stdin),
        trial("an_unknown_step_is_never_reached", NS, an_unknown_step),
    ]
}

fn steps(options: &[&str]) -> Result<Vec<String>, Failed> {
    let done = clone().arg("--timings").args(options).args(["--", "true"]).success()?;
    Ok(steps_of(&done.stderr))
}

fn steps_come_in_this_order() -> Result<(), Failed> {
    let expected =
        ["clone3", "id-map", "become-root", "private", "cgroup-namespace", "hostname", "execve"];
    assert_eq!(steps(&[])?, expected);
    Ok(())
}

fn steps_follow_the_options() -> Result<(), Failed> {
    let options = ["--no-user", "--no-mount", "--no-cgroup", "--no-uts", "--clock-offset=1"];
    assert_eq!(steps(&options)?, ["time-offsets", "clone3", "execve"]);
    Ok(())
}

fn explain_tells_each_step() -> Result<(), Failed> {
    let done = clone().args(["--explain", "--", "true"]).success()?;
    assert_eq!(done.stdout, "");
    for (number, step) in steps(&[])?.iter().enumerate() {
        let title = format!("{:2}  {step} ", number + 1);
        let line = done.stderr.lines().find(|line| line.starts_with(&title));
        let line = line.ok_or_else(|| done.failed(&format!("no step {step}")))?;
        assert!(line.ends_with(&format!(" book: 01-clone#{step}")), "{line}");
    }
    for line in done.stderr.lines() {
        assert!(line.chars().count() <= 78, "{line}");
        assert!(!line.contains('\u{1b}'), "colours without a terminal: {line}");
    }
    Ok(())
}

/// Nothing that carries this run's name is left; the name is in its environment.
fn without_a_trace(
    test: impl FnOnce(&TempDir, &mut dyn FnMut() -> Result<(), Failed>) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let dir = TempDir::new();
    let name = dir.path().to_string_lossy().into_owned();
    let before = Fingerprint::of(&[&name]);
    let result = test(&dir, &mut || before.unchanged(SECONDS));
    if result.is_err() {
        end_all_that_carry(&name);
    }
    result
}

/// What a failed test has shown to be left behind does not stay. No other process has the
/// name of this test's directory in its environment.
fn end_all_that_carry(name: &str) {
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        let carries = String::from_utf8_lossy(&environment).contains(name);
        let pid = process.file_name().to_str().and_then(|pid| pid.parse().ok());
        if let (true, Some(pid)) = (carries, pid) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn each_step_fails(options: &[&str]) -> Result<(), Failed> {
    without_a_trace(|dir, unchanged| {
        for step in steps(options)? {
            let done = clone()
                .arg(format!("--fail={step}"))
                .args(options)
                .args(["--", "true"])
                .env("DOCKSTER_ROOT", dir.path())
                .code(if step == "execve" { 126 } else { 125 })?;
            done.complains(&format!("01-clone: {step}: "))?.complains("EIO")?;
            done.complains("with --fail")?;
            unchanged()?;
        }
        Ok(())
    })
}

fn join_run(target: &Held, option: &str, dir: &TempDir) -> Run {
    let pid = target.inside.to_string();
    clone().args(["join", &pid, option, "--", "true"]).env("DOCKSTER_ROOT", dir.path())
}

fn join_steps(target: &Held, dir: &TempDir) -> Result<Vec<String>, Failed> {
    let done = join_run(target, "--timings", dir).success()?;
    let mut steps = steps_of(&done.stderr);
    assert_eq!(steps, ["clone3", "setns", "clone3", "execve"]);
    steps.remove(2);
    Ok(steps)
}

fn join_steps_fail() -> Result<(), Failed> {
    let target = Held::start(sh(&[], STAY).into_command())?;
    without_a_trace(|dir, unchanged| {
        for step in join_steps(&target, dir)? {
            let done = join_run(&target, &format!("--fail={step}"), dir)
                .code(if step == "execve" { 126 } else { 125 })?;
            done.complains(&format!("01-clone: {step}: "))?.complains("EIO")?;
            unchanged()?;
        }
        Ok(())
    })
}

/// On a terminal of its own, stopped before `step`.
fn paused(run: Run, step: &str) -> Result<Terminal, Failed> {
    let mut terminal = Terminal::spawn(run.into_command(), 50, 100)?;
    terminal.wait_for(&format!("Paused before `{step}`"))?;
    terminal.wait_for("Enter goes on")?;
    Ok(terminal)
}

fn kill_9(terminal: &mut Terminal) -> Result<(), Failed> {
    kill(Pid::from_raw(terminal.pid() as i32), Signal::SIGKILL)?;
    // It ends when the last process has closed the terminal, so none is left that has it.
    terminal.finish().map(drop)
}

fn killed_at_each_step() -> Result<(), Failed> {
    without_a_trace(|dir, unchanged| {
        for step in steps(&[])? {
            let run = sh(&[&format!("--pause={step}")], "sleep 1000");
            kill_9(&mut paused(run.env("DOCKSTER_ROOT", dir.path()), &step)?)?;
            unchanged()?;
        }
        Ok(())
    })
}

fn killed_at_each_step_of_join() -> Result<(), Failed> {
    let target = Held::start(sh(&[], STAY).into_command())?;
    without_a_trace(|dir, unchanged| {
        for step in join_steps(&target, dir)? {
            let run = join_run(&target, &format!("--pause={step}"), dir);
            kill_9(&mut paused(run, &step)?)?;
            unchanged()?;
        }
        Ok(())
    })
}

/// The parent stands at a step of its child; when it answers, nobody hears it any more.
fn child_killed_at_each_step() -> Result<(), Failed> {
    without_a_trace(|dir, unchanged| {
        for step in steps(&[])?.iter().skip_while(|step| *step != "become-root") {
            let run = sh(&[&format!("--pause={step}")], "sleep 1000");
            let mut terminal = paused(run.env("DOCKSTER_ROOT", dir.path()), step)?;
            let children = children(terminal.pid());
            let [child] = children[..] else { return Err(format!("{step}: {children:?}").into()) };
            kill(Pid::from_raw(child as i32), Signal::SIGKILL)?;
            wait_until("the child is gone", SECONDS, || is_gone(child))?;
            terminal.type_keys("\r")?;
            let status = terminal.finish()?;
            let shown = terminal.screen();
            let says = "01-clone: the child died before execve: killed by SIGKILL";
            assert!(status.code() == Some(125) && shown.contains(says), "{step}: {shown}");
            unchanged()?;
        }
        Ok(())
    })
}

fn ctrl_c_at_each_step() -> Result<(), Failed> {
    without_a_trace(|dir, unchanged| {
        for step in steps(&[])? {
            let run = sh(&[&format!("--pause={step}")], "sleep 1000");
            let mut terminal = paused(run.env("DOCKSTER_ROOT", dir.path()), &step)?;
            terminal.type_keys("\x03")?;
            let status = terminal.finish()?;
            // Before our program catches signals, Ctrl-C is just that.
            let shown = terminal.screen();
            assert!(status.code() == Some(125) && shown.contains("interrupted"), "{step}: {shown}");
            unchanged()?;
        }
        Ok(())
    })
}

fn enter_goes_on() -> Result<(), Failed> {
    let run = sh(&["--pause"], "echo it runs; read line; echo \"<$line>\"");
    let mut terminal = Terminal::spawn(run.into_command(), 120, 100)?;
    for step in steps(&[])? {
        terminal.wait_for(&format!("Paused before `{step}`"))?;
        terminal.type_keys("\r")?;
    }
    terminal.wait_for("it runs")?;
    // What is typed later is the program's.
    terminal.type_keys("mine\r")?;
    terminal.wait_for("<mine>")?;
    assert_eq!(terminal.finish()?.code(), Some(0));
    Ok(())
}

fn a_pause_reads_stdin() -> Result<(), Failed> {
    // setsid: a session of its own has no terminal to ask.
    let run = || {
        Run::new("setsid").args(["--wait", env!("CARGO_BIN_EXE_01-clone")]).args([
            "--pause=id-map",
            "--",
            "cat",
        ])
    };
    let done = run().input("\nthe rest\n").success()?;
    assert_eq!(done.stdout, "the rest\n");
    done.complains("/uid_map /proc/")?;
    // The end of the input is as good as Enter: nobody is there to press it.
    run().success()?;
    Ok(())
}

fn an_unknown_step() -> Result<(), Failed> {
    let done = clone().args(["--fail=no-such-step", "--", "true"]).done()?;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    Ok(())
}
