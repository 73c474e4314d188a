//! How it ends, and what it was given: exit statuses, signals, descriptors.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dockster_tests::{Failed, Need, Run, TempDir, Terminal, Trial, trial, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::held::{Held, PATIENCE, STAY};
use crate::views::shell;
use crate::{clone, sh};

const NS: &[Need] = &[Need::UserNamespaces];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("its_exit_status_is_ours", NS, its_exit_status_is_ours),
        trial("killed_is_128_and_the_signal", NS, killed_is_128_and_the_signal),
        trial("killed_by_a_real_time_signal_is_the_same", NS, killed_by_any_number),
        trial("not_found_is_127", NS, not_found_is_127),
        trial(
            "a_closed_directory_in_path_is_passed_over",
            &[Need::User, Need::UserNamespaces],
            || {
                // Nothing is known of what is in there, so it is not found: as in a shell.
                clone()
                    .args(["--", "no-such-command"])
                    .env("PATH", "/root:/bin")
                    .code(127)
                    .map(drop)
            },
        ),
        trial("an_empty_name_is_not_found", NS, || {
            clone().args(["--", ""]).code(127)?.complains("not found").map(drop)
        }),
        trial("not_executable_is_126", NS, not_executable_is_126),
        trial("what_the_kernel_will_not_execute_is_126", NS, not_a_program_is_126),
        trial("wrong_options_are_125", &[], wrong_options_are_125),
        trial("a_hostname_too_long_is_125", NS, a_hostname_too_long),
        trial("help_is_0", &[], help_is_0),
        trial("only_three_descriptors_are_open", NS, only_three_descriptors),
        trial("descriptors_of_the_caller_stay_outside", NS, descriptors_stay_outside),
        trial("closed_descriptors_are_the_null_device", NS, closed_descriptors),
        trial("signals_are_default_inside", NS, signals_are_default),
        trial("a_broken_pipe_ends_a_program", NS, a_broken_pipe_ends_a_program),
        trial("signals_are_passed_on", NS, signals_are_passed_on),
        trial("pid_1_ignores_until_the_third_interrupt", NS, the_third_interrupt),
        trial("ctrl_c_arrives_once", NS, ctrl_c_arrives_once),
        trial("killed_it_takes_all_along", NS, killed_it_takes_all_along),
        trial("a_failure_leaves_stdout_alone", NS, a_failure_leaves_stdout_alone),
    ]
}

fn its_exit_status_is_ours() -> Result<(), Failed> {
    for code in [0, 1, 7, 125, 255] {
        sh(&[], &format!("exit {code}")).code(code)?;
    }
    Ok(())
}

fn killed_is_128_and_the_signal() -> Result<(), Failed> {
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        // Without a PID namespace it is no PID 1, which ignores what it does not handle.
        let mut held = Held::start(sh(&["--no-pid"], STAY).into_command())?;
        kill(Pid::from_raw(held.inside as i32), signal)?;
        assert_eq!(held.ended()?.code(), Some(128 + signal as i32));
    }
    let mut held = Held::start(sh(&[], STAY).into_command())?;
    kill(Pid::from_raw(held.inside as i32), Signal::SIGKILL)?;
    assert_eq!(held.ended()?.code(), Some(137));
    Ok(())
}

/// The real-time signals have numbers, and no names.
fn killed_by_any_number() -> Result<(), Failed> {
    for signal in [34, 40, 64] {
        let script = format!("exec sh -c 'kill -{signal} $$; sleep 10'");
        sh(&["--no-pid"], &script).code(128 + signal)?;
    }
    Ok(())
}

fn not_found_is_127() -> Result<(), Failed> {
    let done = clone().args(["--", "no-such-command"]).env("PATH", "/usr/bin:/bin").code(127)?;
    done.complains("01-clone: execve: \"no-such-command\": executable file not found in $PATH")?;
    clone().args(["--", "/no/such/file"]).code(127)?.complains("no such file: ENOENT")?;
    let dir = TempDir::new();
    script(&dir, "orphan", "#!/no/such/interpreter\n", 0o755)?;
    let done = clone().arg("--").arg(dir.join("orphan")).code(127)?;
    done.complains("the interpreter that it names")?;
    Ok(())
}

fn script(dir: &TempDir, name: &str, text: &str, mode: u32) -> Result<(), Failed> {
    fs::write(dir.join(name), text)?;
    Ok(fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode))?)
}

fn not_executable_is_126() -> Result<(), Failed> {
    let dir = TempDir::new();
    script(&dir, "text", "#!/bin/sh\n", 0o644)?;
    for path in [dir.join("text"), dir.path().to_owned()] {
        clone().arg("--").arg(path).code(126)?.complains("not an executable file: EACCES")?;
    }
    // Along PATH, too; and one that is executable further on wins.
    let path = |dirs: &str| format!("{}:{dirs}", dir.path().display());
    clone().args(["--", "text"]).env("PATH", path("/nowhere")).code(126)?;
    script(&dir, "true", "#!/bin/sh\nexit 9\n", 0o644)?;
    clone().args(["--", "true"]).env("PATH", path("/usr/bin:/bin")).success()?;
    Ok(())
}

fn not_a_program_is_126() -> Result<(), Failed> {
    let dir = TempDir::new();
    script(&dir, "noise", "\u{1}\u{2}\u{3}", 0o755)?;
    let done = clone().arg("--").arg(dir.join("noise")).code(126)?;
    done.complains("01-clone: execve: execve(")?.complains("ENOEXEC")?;
    done.complains("another architecture")?;
    Ok(())
}

fn wrong_options_are_125() -> Result<(), Failed> {
    for options in [&["--nonsense"][..], &["sh"], &["--hostname", "x", "--no-uts", "--", "true"]] {
        let done = clone().args(options).code(125)?;
        assert!(!done.stderr.is_empty() && done.stdout.is_empty(), "{done:?}");
    }
    Ok(())
}

fn a_hostname_too_long() -> Result<(), Failed> {
    let done = sh(&["--hostname", &"x".repeat(65)], "true").code(125)?;
    done.complains("01-clone: hostname: sethostname(")?.complains("EINVAL")?;
    sh(&["--hostname", &"x".repeat(64)], "true").success()?;
    Ok(())
}

fn help_is_0() -> Result<(), Failed> {
    clone().arg("--help").success()?.says("Usage: 01-clone")?.says("join")?;
    clone().arg("--version").success()?.says("01-clone ")?;
    Ok(())
}

fn descriptors(held: &Held) -> Result<Vec<String>, Failed> {
    let entries = fs::read_dir(format!("/proc/{}/fd", held.inside))?;
    let names = entries.map(|e| Ok(e?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>, std::io::Error>>()?;
    names.sort();
    Ok(names)
}

fn only_three_descriptors() -> Result<(), Failed> {
    // With somebody watching there is one more, the gate's copy.
    for options in [&[][..], &["--timings"], &["--no-pid"]] {
        let held = Held::start(sh(options, STAY).into_command())?;
        assert_eq!(descriptors(&held)?, ["0", "1", "2"], "{options:?}");
    }
    Ok(())
}

fn descriptors_stay_outside() -> Result<(), Failed> {
    let script = "exec 3</etc/passwd 5</ 9<&0; exec \"$1\" -- sh -c '".to_owned() + STAY + "'";
    let held = Held::start(shell(&script))?;
    assert_eq!(descriptors(&held)?, ["0", "1", "2"]);
    // Through join as well: the target's own and the caller's.
    let inside = held.inside;
    let script = format!("exec 3</etc/passwd 9<&0; exec \"$1\" join {inside} -- sh -c '{STAY}'");
    assert_eq!(descriptors(&Held::start(shell(&script))?)?, ["0", "1", "2"]);
    Ok(())
}

fn closed_descriptors() -> Result<(), Failed> {
    let dir = TempDir::new();
    // With --no-pid, for /proc is the host's.
    let script = r#"exec "$1" --no-pid -- sh -c 'said=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2); echo "$said" >said' <&- >&- 2>&-"#;
    let done = Run::new("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_01-clone")])
        .dir(dir.path())
        .done()?;
    assert!(done.status.success(), "{done:?}");
    let said = fs::read_to_string(dir.join("said"))?;
    assert_eq!(said, "/dev/null\n".repeat(3));
    Ok(())
}

/// The caller ignores and blocks what it can; the program inside starts with nothing of that.
fn signals_are_default() -> Result<(), Failed> {
    let script =
        "trap '' HUP INT QUIT PIPE TERM USR1 CHLD; exec \"$1\" -- sh -c '".to_owned() + STAY + "'";
    let held = Held::start(shell(&script))?;
    for line in ["SigBlk", "SigIgn", "SigPnd"] {
        assert_eq!(signals(&held, line)?, 0, "{line}");
    }
    let script = "trap '' HUP PIPE; exec \"$1\" join ".to_owned()
        + &format!("{} -- sh -c '{STAY}'", held.inside);
    let joined = Held::start(shell(&script))?;
    for line in ["SigBlk", "SigIgn"] {
        assert_eq!(signals(&joined, line)?, 0, "{line}");
    }
    Ok(())
}

/// A set of signals, without 32 and 33: glibc keeps these to itself, and no program of
/// its own can give them back.
fn signals(held: &Held, line: &str) -> Result<u64, Failed> {
    Ok(u64::from_str_radix(&held.status(line)?, 16)? & !(0b11 << 31))
}

fn a_broken_pipe_ends_a_program() -> Result<(), Failed> {
    let done = sh(&[], "(yes; echo $? >&2) | head -n 1").success()?;
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("y\n", "141\n"));
    Ok(())
}

fn signals_are_passed_on() -> Result<(), Failed> {
    use Signal::{SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
    for signal in [SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH] {
        let name = &signal.as_str()[3..];
        let script = format!("trap 'exit 9' {name}; echo ready; sleep 1000 & wait");
        let mut held = Held::start(sh(&[], &script).into_command())?;
        held.signal(signal)?;
        assert_eq!(held.ended()?.code(), Some(9), "{name}");
    }
    Ok(())
}

fn the_third_interrupt() -> Result<(), Failed> {
    // PID 1, and without a handler (a shell has one for SIGINT): it does not notice.
    let mut held = Held::start(sh(&[], "echo ready; exec sleep 1000").into_command())?;
    wait_until("the shell is gone", PATIENCE, || {
        held.proc("comm").is_ok_and(|name| name == "sleep\n")
    })?;
    held.signal(Signal::SIGTERM)?;
    let mut sent = 0;
    let mut status = None;
    // Two that come at once are one for the kernel, so it may take more than three.
    wait_until("the third interrupt ends it", PATIENCE, || {
        let _ = held.signal(Signal::SIGINT);
        sent += 1;
        status = held.try_ended();
        status.is_some()
    })?;
    assert_eq!(status.and_then(|status| status.code()), Some(137));
    assert!(sent >= 3, "{sent}");
    Ok(())
}

fn ctrl_c_arrives_once() -> Result<(), Failed> {
    let script = "trap 'echo got' INT; echo ready; read line; read line; echo end";
    let mut terminal = Terminal::spawn(sh(&[], script).into_command(), 24, 80)?;
    terminal.wait_for("ready")?;
    terminal.type_keys("\x03")?;
    terminal.wait_for("got")?;
    // `read` went on or was interrupted, which differs between shells: end it in any case.
    terminal.type_keys("\r\r")?;
    terminal.finish()?;
    assert_eq!(terminal.transcript().matches("got").count(), 1, "{}", terminal.transcript());
    Ok(())
}

fn killed_it_takes_all_along() -> Result<(), Failed> {
    let script = "sleep 1000 & sleep 1000 & echo ready; wait";
    let held = Held::start(sh(&[], script).into_command())?;
    let inside = crate::held::children(held.inside);
    assert_eq!(inside.len(), 2);
    held.signal(Signal::SIGKILL)?;
    held.inside_is_gone()?;
    wait_until("those inside are gone", PATIENCE, || {
        inside.iter().all(|&pid| crate::held::is_gone(pid))
    })
}

fn a_failure_leaves_stdout_alone() -> Result<(), Failed> {
    let done = sh(&["--fail=hostname"], "true").code(125)?;
    assert_eq!(done.stdout, "");
    assert_eq!(done.stderr.lines().count(), 2, "{done:?}");
    Ok(())
}
