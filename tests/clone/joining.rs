//! `join PID`: into the namespaces of a process that runs already.

use std::process::{Command, Stdio};

use dockster_tests::{Failed, Need, Run, Trial, trial};
use nix::sys::signal::Signal;

use crate::held::{Held, KINDS, STAY, is_gone, namespace, status_line};
use crate::{clone, sh};

const NS: &[Need] = &[Need::UserNamespaces];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("join_enters_all_namespaces", NS, || enters_all(&[])),
        trial("join_enters_the_time_namespace_too", NS, || enters_all(&["--time"])),
        trial("join_leaves_out_what_is_shared", NS, || enters_all(&["--no-net", "--no-ipc"])),
        trial("join_without_a_user_namespace", &[Need::Root], || enters_all(&["--no-user"])),
        trial("join_sees_clocks_of_its_own", &[Need::Root], sees_the_clocks),
        trial("what_joins_is_our_child_and_root_inside", NS, is_our_child),
        trial("what_joins_sees_what_is_inside", NS, sees_what_is_inside),
        trial("join_passes_the_exit_status_on", NS, passes_the_status_on),
        trial("join_of_a_join", NS, join_of_a_join),
        trial("what_joined_ends_with_its_program", NS, ends_with_its_program),
        trial("what_joined_ends_with_pid_1", NS, ends_with_pid_1),
        trial("join_of_one_in_our_own_namespaces", &[], of_our_own_namespaces),
        trial("join_of_nobody_is_named", &[], of_nobody),
        trial("join_of_somebody_elses_is_refused", &[Need::User], of_somebody_elses),
    ]
}

fn held(options: &[&str]) -> Result<Held, Failed> {
    Held::start(sh(options, STAY).into_command())
}

fn join(target: &Held) -> Run {
    clone().arg("join").arg(target.inside.to_string()).arg("--")
}

fn joined(target: &Held, script: &str) -> Result<Held, Failed> {
    Held::start(join(target).args(["sh", "-c", script]).into_command())
}

fn enters_all(options: &[&str]) -> Result<(), Failed> {
    let target = held(options)?;
    let mut joined = joined(&target, STAY)?;
    for kind in KINDS {
        assert_eq!(namespace(joined.inside, kind)?, namespace(target.inside, kind)?, "{kind}");
    }
    assert_eq!(joined.finish()?.0.code(), Some(7));
    Ok(())
}

fn sees_the_clocks() -> Result<(), Failed> {
    let target = held(&["--clock-offset", "1000000"])?;
    let uptime = join(&target).args(["cat", "/proc/uptime"]).success()?.stdout;
    let seconds: f64 = uptime.split(' ').next().unwrap_or("").parse()?;
    assert!(seconds > 1_000_000.0, "{uptime}");
    Ok(())
}

fn is_our_child() -> Result<(), Failed> {
    let target = held(&[])?;
    let joined = joined(&target, STAY)?;
    assert_eq!(joined.status("PPid")?, joined.pid().to_string());
    // The second process in there, so PID 2 or later, and nobody's but ours.
    let numbers = joined.status("NSpid")?;
    assert_eq!(numbers.split(' ').count(), target.status("NSpid")?.split(' ').count(), "{numbers}");
    assert_ne!(numbers.split(' ').next_back(), Some("1"), "{numbers}");
    for line in ["Uid", "Gid", "CapEff", "CapBnd"] {
        assert_eq!(joined.status(line)?, target.status(line)?, "{line}");
    }
    assert_eq!(join(&target).args(["id", "-u"]).success()?.stdout, "0\n");
    Ok(())
}

fn sees_what_is_inside() -> Result<(), Failed> {
    let target = held(&["--hostname", "target"])?;
    let done = join(&target).args(["sh", "-c", "uname -n; hostname late; echo $PPID"]).success()?;
    // Its parent is not in there, so it has none.
    assert_eq!(done.stdout, "target\n0\n");
    assert_eq!(join(&target).args(["uname", "-n"]).success()?.stdout, "late\n");
    Ok(())
}

fn passes_the_status_on() -> Result<(), Failed> {
    let target = held(&[])?;
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137)] {
        join(&target).args(["sh", "-c", script]).code(code)?;
    }
    let missing = join(&target).arg("no-such-command").env("PATH", "/usr/bin:/bin");
    missing.code(127)?.complains("not found in $PATH")?;
    join(&target).arg("/etc/passwd").code(126)?.complains("not an executable file")?;
    Ok(())
}

fn join_of_a_join() -> Result<(), Failed> {
    let target = held(&[])?;
    let second = joined(&target, STAY)?;
    let done = join(&second).args(["readlink", "/proc/self/ns/uts"]).success()?;
    assert_eq!(done.stdout.trim_end(), namespace(target.inside, "uts")?);
    Ok(())
}

fn ends_with_its_program() -> Result<(), Failed> {
    let target = held(&[])?;
    let joined = joined(&target, STAY)?;
    joined.signal(Signal::SIGKILL)?;
    joined.inside_is_gone()?;
    assert!(!is_gone(target.inside), "the target has nothing to do with that");
    Ok(())
}

fn ends_with_pid_1() -> Result<(), Failed> {
    let mut target = held(&[])?;
    let mut joined = joined(&target, STAY)?;
    target.finish()?;
    assert_eq!(joined.ended()?.code(), Some(137));
    Ok(())
}

/// A process with nothing of its own is entered by doing nothing.
fn of_our_own_namespaces() -> Result<(), Failed> {
    let mut plain = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn()?;
    let pid = plain.id().to_string();
    let done = clone().args(["join", &pid, "--", "sh", "-c", "exit 3"]).done();
    plain.kill()?;
    plain.wait()?;
    let done = done?;
    assert_eq!(done.status.code(), Some(3), "{done:?}");
    Ok(())
}

fn of_nobody() -> Result<(), Failed> {
    // No pid is that large (the kernel's limit is 2^22).
    let done = clone().args(["join", "2000000000", "--", "true"]).code(125)?;
    done.complains("pidfd_open(2000000000): ESRCH")?;
    clone().args(["join", "0", "--", "true"]).code(125)?;
    clone().args(["join", "--", "true"]).code(125)?;
    clone().args(["join", "many", "--", "true"]).code(125)?;
    Ok(())
}

fn of_somebody_elses() -> Result<(), Failed> {
    let status = std::fs::read_to_string("/proc/1/status")?;
    assert!(status_line(&status, "Uid").starts_with("0 "), "PID 1 is root's");
    let done = clone().args(["join", "1", "--", "true"]).code(125)?;
    done.complains("/proc/1/ns/user")?.complains("EACCES")?;
    Ok(())
}
