//! The command line: what is taken, what is printed, and in which words it is refused.
//!
//! Whoever drives a runtime reads these words and formats, and was written for runc. So
//! most of these tests also pass with `DOCKSTER_TEST_RUNTIME=/usr/sbin/runc`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dockster_tests::{
    Done, Failed, Need, Run, TempDir, Terminal, Trial, find_program, host, trial, wait_until,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::bundle::{Bundle, PATIENCE, case, ours, runtime};

pub fn trials() -> Vec<Trial> {
    let limits = &[Need::Root, Need::Limits];
    vec![
        ours("verbs::usage_errors_name_what_is_wrong", &[], usage_errors),
        ours("verbs::options_stand_anywhere", &[Need::Root], options_stand_anywhere),
        ours("verbs::help_is_there", &[], help),
        case("verbs::a_version_in_three_lines", &[], version),
        case("verbs::a_session_keyring_or_the_callers", &[Need::Root], keyring),
        case("verbs::errors_go_into_the_log", &[], log),
        ours("verbs::steps_go_into_the_log", &[Need::Root], steps_are_noted),
        case("verbs::what_does_not_exist", &[], what_does_not_exist),
        case("verbs::a_state_as_runc_prints_it", &[Need::Root], state),
        case("verbs::a_list_as_runc_prints_it", &[Need::Root], list),
        case("verbs::processes_as_ps_prints_them", &[Need::Root], ps),
        case("verbs::signals_by_name_and_number", &[Need::Root], signals),
        case("verbs::what_a_state_does_not_allow", &[Need::Root], states),
        case("verbs::pause_and_resume", limits, pause),
        case("verbs::programs_that_cannot_be_run", &[], programs),
        case("verbs::statuses_of_run", &[], statuses_of_run),
        case("verbs::run_passes_signals_on", &[], run_passes_signals_on),
        case("verbs::run_keeps_what_it_is_told_to", &[Need::Root], run_keeps),
        case("verbs::exec_with_options", &[Need::Root], exec_options),
        case("verbs::exec_with_a_file", &[Need::Root], exec_file),
        case("verbs::exec_detached", &[Need::Root], exec_detached),
        case("verbs::exec_says_why_not", &[Need::Root], exec_says_why_not),
        case("verbs::a_terminal_for_run_and_exec", &[Need::Root], terminals),
        case("verbs::a_terminal_without_a_socket", &[Need::Root], sockets),
        case("verbs::update_by_options_and_by_file", limits, update),
        case("verbs::events_are_lines_of_json", limits, events),
        ours("verbs::checkpoints_are_refused", &[], checkpoints),
        trial("verbs::a_spec_as_runc_writes_it", &[Need::Program("runc")], spec),
        case("verbs::features_as_the_specification_says", &[], features),
    ]
}

/// One line on stderr, with these words in it.
fn refused(run: Run, status: i32, words: &[&str]) -> Result<Done, Failed> {
    let done = run.code(status)?;
    // runc puts the sentence between quotes.
    let said = done.stderr.replace('\\', "");
    if let Some(word) = words.iter().find(|word| !said.contains(**word)) {
        return Err(done.failed(&format!("stderr lacks {word:?}")));
    }
    match done.stdout.is_empty() {
        true => Ok(done),
        false => Err(done.failed("it prints something as well")),
    }
}

fn usage_errors(bundle: &mut Bundle) -> Result<(), Failed> {
    let wrong: &[(&[&str], i32, &[&str])] = &[
        (&["frob"], 3, &["unknown command", "\"frob\""]),
        (&["--frob", "list"], 1, &["unknown option --frob"]),
        (&["list", "--frob"], 1, &["list", "unknown option --frob"]),
        (&["list", "-x"], 1, &["unknown option -x"]),
        (&["kill", "-ax", "id"], 1, &["unknown option -a"]),
        (&["list", "id"], 1, &["\"list\" requires exactly 0 argument(s)"]),
        (&["state"], 1, &["\"state\" requires exactly 1 argument(s)"]),
        (&["state", "a", "b"], 1, &["\"state\" requires exactly 1 argument(s)"]),
        (&["kill"], 1, &["\"kill\" requires a minimum of 1 argument(s)"]),
        (&["kill", "a", "b", "c"], 1, &["\"kill\" requires a maximum of 2 argument(s)"]),
        (&["create", "id", "--bundle"], 1, &["--bundle needs a value"]),
        (&["create", "--preserve-fds", "many", "id"], 1, &["--preserve-fds", "\"many\""]),
        (&["delete", "--force=perhaps", "id"], 1, &["--force", "\"perhaps\""]),
        (&["list", "--format", "yaml"], 1, &["invalid format option"]),
        (&["--log-format", "xml", "list"], 1, &["invalid log-format: xml"]),
        (&["--rootless", "perhaps", "list"], 1, &["--rootless", "perhaps"]),
    ];
    for (words, status, said) in wrong {
        let done = refused(bundle.oci(words.iter().copied()), *status, said)?;
        if done.stderr.lines().count() != 1 {
            return Err(done.failed("it is not one line"));
        }
    }
    Ok(())
}

/// Before the id and after it, with one dash or two, with `=` or without.
fn options_stand_anywhere(bundle: &mut Bundle) -> Result<(), Failed> {
    let root = bundle.join("state");
    let root = root.to_string_lossy();
    bundle.script("sleep 1000");
    let ways: [&[&str]; 3] = [
        &["--pid-file=pid", "-no-new-keyring"],
        &["-pid-file", "pid", "--no-new-keyring=true"],
        &["-pid-file=pid", "--preserve-fds=0"],
    ];
    for words in ways {
        let done = bundle.create_with(words)?;
        if !done.status.success() {
            return Err(done.failed(&bundle.errors()));
        }
        assert_eq!(fs::read_to_string(bundle.join("pid"))?, bundle.pid()?.to_string());
        let id = bundle.id.clone();
        for words in [
            vec![format!("--root={root}"), "state".into(), id.clone()],
            vec![
                format!("-root={root}"),
                "--systemd-cgroup=false".into(),
                "state".into(),
                id.clone(),
            ],
            vec!["state".into(), id.clone(), "--root".into(), root.to_string()],
        ] {
            Run::new(runtime()).args(words).success()?.says("\"created\"")?;
        }
        bundle.oci(["delete", &id, "-f"]).success()?;
    }
    Ok(())
}

/// Each container has a session keyring of its own, or with the option that of the caller.
fn keyring(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.maskedPaths", json!([]));
    bundle.script("cat /proc/keys");
    bundle.write()?;
    let own = format!("_ses.{}", bundle.id);
    // Its own comes last: the kernel takes its time to forget a keyring that nobody has.
    for (options, has) in [(&["--no-new-keyring"][..], false), (&[], true)] {
        let run = bundle.oci(["run", "--bundle"]).arg(bundle.dir()).args(options);
        let done = run.arg(&bundle.id).success()?;
        if done.stdout.contains(&own) != has {
            return Err(done.failed(&format!("a keyring {own}: {}", !has)));
        }
    }
    Ok(())
}

fn help(bundle: &mut Bundle) -> Result<(), Failed> {
    for words in [&["--help"][..], &["-h"], &["help"], &[]] {
        bundle.oci(words.iter().copied()).success()?.says("Usage:")?.says("  exec ")?;
    }
    for words in [&["create", "--help"][..], &["create", "-h", "id"], &["help", "create"]] {
        bundle.oci(words.iter().copied()).success()?.says("--bundle")?.says("--console-socket")?;
    }
    let all = bundle.oci(["--help"]).success()?;
    let commands = all.stdout.lines().filter_map(|line| line.strip_prefix("  "));
    let commands: Vec<_> = commands
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(commands.len() >= 15, "{commands:?}");
    for command in commands {
        let text = bundle.oci([command, "--help"]).success()?;
        match text.stdout.lines().find(|line| line.chars().count() > 78) {
            Some(line) => return Err(text.failed(&format!("too long: {line}"))),
            None => text.says("--help")?,
        };
    }
    Ok(())
}

/// go-runc reads "NAME version V", "commit: C" and "spec: S".
fn version(bundle: &mut Bundle) -> Result<(), Failed> {
    for option in ["--version", "-v"] {
        let done = bundle.oci([option]).success()?;
        let lines: Vec<_> = done.stdout.lines().collect();
        let first = lines.first().ok_or("nothing")?;
        assert_eq!(first.split(' ').nth(1), Some("version"), "{first}");
        assert!(lines[1].starts_with("commit: "), "{}", lines[1]);
        assert!(lines[2].starts_with("spec: 1."), "{}", lines[2]);
    }
    Ok(())
}

fn log(bundle: &mut Bundle) -> Result<(), Failed> {
    let file = bundle.join("log");
    let path = file.to_string_lossy().into_owned();
    refused(bundle.oci(["--log", &path, "state", "nobody"]), 1, &["does not exist"])?;
    let line = fs::read_to_string(&file)?;
    assert!(line.starts_with("time=\"20"), "{line}");
    assert!(line.ends_with("level=error msg=\"container does not exist\"\n"), "{line}");

    refused(
        bundle.oci(["--log", &path, "--log-format=json", "state", "nobody"]),
        1,
        &["does not exist"],
    )?;
    let text = fs::read_to_string(&file)?;
    let second = text.strip_prefix(&line).ok_or("the first line is gone")?;
    let second: BTreeMap<String, String> = serde_json::from_str(second)?;
    assert_eq!(second["level"], "error");
    assert_eq!(second["msg"], "container does not exist");
    assert_eq!(second["time"].len(), "2026-11-24T15:24:04Z".len());
    Ok(())
}

fn steps_are_noted(bundle: &mut Bundle) -> Result<(), Failed> {
    let file = bundle.join("log");
    let path = file.to_string_lossy().into_owned();
    bundle.script("true").write()?;
    let run = bundle.oci(["--debug", "--log", &path, "run", "--bundle"]);
    run.arg(bundle.dir()).arg(&bundle.id).success()?;
    let text = fs::read_to_string(&file)?;
    for step in ["clone3", "pivot_root", "execve"] {
        assert!(text.contains(&format!("level=debug msg=\"{step}: ")), "{step} is not in {text}");
    }
    Ok(())
}

fn what_does_not_exist(bundle: &mut Bundle) -> Result<(), Failed> {
    for verb in ["state", "start", "kill", "delete", "ps", "pause", "resume", "update", "events"] {
        refused(bundle.oci([verb, "nobody"]), 1, &["container does not exist"])?;
    }
    let words = ["exec failed", "container does not exist"];
    refused(bundle.oci(["exec", "nobody", "true"]), 255, &words)?;
    bundle.oci(["delete", "--force", "nobody"]).success()?;
    for id in ["a/b", "..", "", "a b"] {
        let run = bundle.oci(["create", "--bundle"]).arg(bundle.dir()).arg(id);
        bundle.write()?;
        refused(run, 1, &[if id.is_empty() { "cannot be empty" } else { "invalid container ID" }])?;
    }
    let run = bundle.oci(["create", "--bundle", "/nowhere", "id"]);
    refused(run, 1, &["no such file or directory"])?;
    let run = bundle.oci(["create", "--bundle"]).arg(bundle.rootfs()).arg("id");
    refused(run, 1, &["config.json"])?;
    Ok(())
}

fn state(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("annotations", json!({"org.example.key": "value"})).script("sleep 1000").create()?;
    let expected = |status: &str, pid: i64, created: &Value| {
        json!({
            "ociVersion": created["ociVersion"],
            "id": bundle.id,
            "pid": pid,
            "status": status,
            "bundle": bundle.dir(),
            "rootfs": bundle.rootfs(),
            "created": created["created"],
            "annotations": {"org.example.key": "value"},
            "owner": "",
        })
    };
    let state = bundle.state()?;
    let pid = state["pid"].as_i64().unwrap_or(0);
    assert!(pid > 1, "{state}");
    assert!(state["ociVersion"].as_str().is_some_and(|v| v.starts_with("1.")), "{state}");
    let created = state["created"].as_str().unwrap_or_default();
    assert!(
        created.starts_with("20") && created.ends_with('Z') && created.contains('.'),
        "{state}"
    );
    assert_eq!(state, expected("created", pid, &state));
    bundle.verb("start")?;
    assert_eq!(bundle.state()?, expected("running", pid, &state));
    bundle.oci(["kill", &bundle.id, "KILL"]).success()?;
    bundle.until("stopped")?;
    assert_eq!(bundle.state()?, expected("stopped", 0, &state));
    Ok(())
}

fn list(bundle: &mut Bundle) -> Result<(), Failed> {
    let heading = "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n";
    assert_eq!(bundle.oci(["list"]).success()?.stdout, heading);
    assert_eq!(bundle.oci(["list", "-f", "json"]).success()?.stdout, "null\n");
    assert_eq!(bundle.oci(["list", "-q"]).success()?.stdout, "");

    bundle.script("sleep 1000").create()?;
    let mut state = bundle.state()?;
    let table = bundle.oci(["list"]).success()?.stdout;
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    for column in ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"] {
        let at = lines[0].find(column).ok_or("a column is missing")?;
        assert!(lines[1].as_bytes()[at - usize::from(at > 0)..].iter().any(|b| *b != b' '));
        assert!(lines[1].as_bytes()[at] != b' ', "{table}");
    }
    let fields: Vec<_> = lines[1].split_whitespace().collect();
    let text = |name: &str| state[name].as_str().unwrap_or_default().to_owned();
    let pid = state["pid"].to_string();
    let wanted = [&*bundle.id, &pid, "created", &text("bundle"), &text("created"), "root"];
    assert_eq!(fields, wanted);

    state["owner"] = "root".into();
    let all: Value =
        serde_json::from_str(&bundle.oci(["list", "--format=json"]).success()?.stdout)?;
    assert_eq!(all, json!([state]));
    assert_eq!(bundle.oci(["list", "--quiet"]).success()?.stdout, format!("{}\n", bundle.id));
    Ok(())
}

fn ps(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.ready("sleep 2000 &")?;
    let (id, pid) = (&*bundle.id, bundle.pid()?);
    let pids = bundle.oci(["ps", "--format", "json", id]).success()?.stdout;
    let pids: Vec<i32> = serde_json::from_str(&pids)?;
    assert_eq!(pids.len(), 2);
    assert!(pids.contains(&pid), "{pids:?}");

    let table = bundle.oci(["ps", id]).success()?;
    table.says("PID")?.says("sleep 1000")?.says("sleep 2000")?;
    assert_eq!(table.stdout.lines().count(), 3, "{}", table.stdout);
    let table = bundle.oci(["ps", id, "-o", "pid,args"]).success()?.stdout;
    let found = table.lines().any(|line| line.trim() == format!("{pid} sleep 1000"));
    assert!(found, "{table}");
    refused(bundle.oci(["ps", id, "-o", "args"]), 1, &["couldn't find PID field in ps output"])?;
    refused(bundle.oci(["ps", "-f", "yaml", id]), 1, &["invalid format option"])?;
    Ok(())
}

fn signals(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.ready(
        "trap 'echo got USR1' USR1; trap 'echo got TERM' TERM; trap 'echo got HUP' HUP; \
        echo ready; while :; do sleep 0.01; done;",
    )?;
    let id = &*bundle.id;
    for (words, count, line) in [
        (&["kill", id][..], 1, "got TERM"),
        (&["kill", id, "USR1"], 1, "got USR1"),
        (&["kill", id, "SIGUSR1"], 2, "got USR1"),
        (&["kill", id, "sigusr1"], 3, "got USR1"),
        (&["kill", id, "10"], 4, "got USR1"),
        (&["kill", id, "hup"], 1, "got HUP"),
    ] {
        bundle.oci(words.iter().copied()).success()?;
        wait_until(&format!("{words:?}"), PATIENCE, || {
            bundle.output().matches(line).count() == count
        })?;
    }
    refused(bundle.oci(["kill", id, "FROB"]), 1, &["unknown signal \"FROB\""])?;
    refused(bundle.oci(["kill", id, "99"]), 1, &["invalid argument"])?;
    bundle.oci(["kill", "--all", id, "KILL"]).success()?;
    bundle.until("stopped")?;
    refused(bundle.oci(["kill", id]), 1, &["container not running"])?;
    bundle.oci(["kill", "--all", id]).success()?;
    Ok(())
}

/// Each state allows some verbs, and refuses the others in runc's words.
fn states(bundle: &mut Bundle) -> Result<(), Failed> {
    let id = bundle.id.clone();
    let refuses = |bundle: &Bundle, words: &[&str], status: i32, why: &str| {
        refused(bundle.oci(words.iter().copied()), status, &[why]).map(|_| ())
    };
    bundle.script("sleep 1000").create()?;
    bundle.create_with(&[])?;
    assert!(
        bundle.errors().contains("container with given ID already exists"),
        "{}",
        bundle.errors()
    );
    bundle.verb("start")?;
    refuses(bundle, &["start", &id], 1, "cannot start an already running container")?;
    let why = format!("cannot delete container {id} that is not stopped: running");
    refuses(bundle, &["delete", &id], 1, &why)?;
    refuses(bundle, &["resume", &id], 1, "container not paused")?;
    bundle.oci(["kill", &id, "KILL"]).success()?;
    bundle.until("stopped")?;
    refuses(bundle, &["start", &id], 1, "cannot start a container that has stopped")?;
    refuses(bundle, &["exec", &id, "true"], 255, "cannot exec in a stopped container")?;
    refuses(bundle, &["pause", &id], 1, "container not running")?;
    refuses(bundle, &["update", "--pids-limit", "10", &id], 1, "container not running")?;
    let why = format!("container with id {id} is not running");
    refuses(bundle, &["events", "--stats", &id], 1, &why)?;
    let none = bundle.oci(["ps", "-f", "json", &id]).success()?.stdout;
    assert_eq!(none, "null\n");
    bundle.verb("delete")?;
    refuses(bundle, &["delete", &id], 1, "container does not exist")
}

fn pause(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.ready("")?;
    let id = &*bundle.id;
    bundle.verb("pause")?;
    assert_eq!(bundle.state()?["status"], "paused");
    refused(bundle.oci(["pause", id]), 1, &["container not running"])?;
    let words =
        ["exec failed", "cannot exec in a paused container (use --ignore-paused to override)"];
    refused(bundle.oci(["exec", id, "true"]), 255, &words)?;
    let why = format!("cannot delete container {id} that is not stopped: paused");
    refused(bundle.oci(["delete", id]), 1, &[&why])?;
    bundle.verb("resume")?;
    assert_eq!(bundle.state()?["status"], "running");
    bundle.exec(&[], &["true"]).success()?;
    Ok(())
}

/// Podman and dockerd make 127 and 126 of these words.
fn programs(bundle: &mut Bundle) -> Result<(), Failed> {
    fs::write(bundle.rootfs().join("plain"), "#!/bin/sh\n")?;
    for (name, why) in [
        ("frob", "exec: \"frob\": executable file not found in $PATH"),
        ("/frob", "no such file or directory"),
        ("/plain", "permission denied"),
        ("./etc", "\"./etc\": "),
    ] {
        bundle.set("process.args", json!([name]));
        let words = ["unable to start container process: exec: ", name, why];
        let done = refused(bundle.run()?, 1, &words)?;
        if done.stderr.lines().count() != 1 {
            return Err(done.failed("it is not one line"));
        }
    }
    Ok(())
}

fn statuses_of_run(bundle: &mut Bundle) -> Result<(), Failed> {
    for status in [0, 1, 7, 125, 255] {
        bundle.script(&format!("echo out; echo err >&2; exit {status}"));
        let done = bundle.run()?.code(status)?;
        assert_eq!((&*done.stdout, &*done.stderr), ("out\n", "err\n"));
    }
    bundle.script("sh -c 'kill -KILL $$'; exit $?").run()?.code(137)?;
    Ok(())
}

/// To the program, which ends of it; and its end is ours.
fn run_passes_signals_on(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.script(
        "trap 'echo got it >/got; exit 9' TERM; echo ready >/ready; \
        while :; do sleep 0.01; done",
    );
    let mut run = bundle.run()?.into_command().spawn()?;
    wait_until("it is ready", PATIENCE, || bundle.rootfs().join("ready").exists())?;
    kill(Pid::from_raw(run.id() as i32), Signal::SIGTERM)?;
    assert_eq!(run.wait()?.code(), Some(9));
    assert_eq!(fs::read_to_string(bundle.rootfs().join("got"))?, "got it\n");
    bundle.script("echo ready >/again; kill -STOP $$; exec sleep 1000");
    let mut run = bundle.run()?.into_command().spawn()?;
    wait_until("it is ready", PATIENCE, || bundle.rootfs().join("again").exists())?;
    bundle.oci(["kill", &bundle.id, "KILL"]).success()?;
    assert_eq!(run.wait()?.code(), Some(137));
    Ok(())
}

fn run_keeps(bundle: &mut Bundle) -> Result<(), Failed> {
    let id = bundle.id.clone();
    bundle.script("exit 3").write()?;
    bundle.oci(["run", "--keep", "--bundle"]).arg(bundle.dir()).arg(&id).code(3)?;
    assert_eq!(bundle.state()?["status"], "stopped");
    bundle.verb("delete")?;
    bundle.oci(["run", "--no-subreaper", "-b"]).arg(bundle.dir()).arg(&id).code(3)?;
    refused(bundle.oci(["state", &id]), 1, &["container does not exist"])?;
    Ok(())
}

fn exec_options(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.ready("")?;
    let says = |options: &[&str], words: &[&str], text: &str| -> Result<(), Failed> {
        let done = bundle.exec(options, words).success()?;
        match done.stdout.trim_end() == text {
            true => Ok(()),
            false => Err(done.failed(&format!("expected {text:?}"))),
        }
    };
    let id = "id -u; id -g; id -G";
    says(&["--user", "1000:1001"], &["sh", "-c", id], "1000\n1001\n1001")?;
    says(&["-u", "1000"], &["sh", "-c", "id -u"], "1000")?;
    says(&["-g", "7", "-g", "8"], &["sh", "-c", "id -G"], "0 7 8")?;
    says(&["--cwd", "/tmp"], &["pwd"], "/tmp")?;
    says(&["-e", "A=b", "-e=C=d e"], &["sh", "-c", "echo $A $C"], "b d e")?;
    says(&["-e", "TERM=dumb"], &["sh", "-c", "echo $TERM; env | grep -c TERM="], "dumb\n1")?;
    // What stands after the id is the program's.
    says(&[], &["echo", "-n", "--user", "--help"], "--user --help")?;
    let flag = "grep NoNewPrivs /proc/self/status | cut -f 2";
    says(&[], &["sh", "-c", flag], "0")?;
    says(&["--no-new-privs"], &["sh", "-c", flag], "1")?;
    let caps = "grep CapEff /proc/self/status | cut -f 2";
    let before = bundle.exec(&[], &["sh", "-c", caps]).success()?.stdout;
    let after = bundle.exec(&["--cap", "CAP_SYS_NICE"], &["sh", "-c", caps]).success()?.stdout;
    let bits = |text: &str| u64::from_str_radix(text.trim(), 16);
    assert_eq!(bits(&before)? | 1 << 23, bits(&after)?);

    for status in [0, 3, 255] {
        bundle.exec(&[], &["sh", "-c", &format!("exit {status}")]).code(status)?;
    }
    bundle.exec(&[], &["sh", "-c", "kill -KILL $$"]).code(137)?;
    let done = bundle.exec(&[], &["cat"]).input("through\n").success()?;
    assert_eq!(done.stdout, "through\n");
    Ok(())
}

fn exec_file(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.ready("")?;
    let file = bundle.join("process.json");
    let process = json!({
        "user": {"uid": 1000, "gid": 1000, "additionalGids": [5]},
        "args": ["sh", "-c", "id -u; id -G; pwd; echo $A"],
        "env": ["PATH=/bin", "A=b"],
        "cwd": "/home",
    });
    fs::write(&file, process.to_string())?;
    let path = file.to_string_lossy().into_owned();
    for options in [vec!["--process", &*path], vec!["-p", &path]] {
        let done = bundle.exec(&options, &[]).success()?;
        assert_eq!(done.stdout, "1000\n1000 5\n/home\nb\n");
    }
    fs::write(&file, "{")?;
    refused(bundle.exec(&["-p", &path], &[]), 255, &["exec failed"])?;
    let nowhere = bundle.exec(&["-p", "/nowhere"], &[]);
    refused(nowhere, 255, &["exec failed", "no such file or directory"])?;
    Ok(())
}

fn exec_detached(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.ready("")?;
    let file = bundle.join("exec.pid");
    let path = file.to_string_lossy().into_owned();
    // Its output is not ours: it lives longer than who started it.
    let script = r#""$@" </dev/null >/dev/null 2>&1"#;
    let exec = bundle.exec(&["--detach", "--pid-file", &path], &["sleep", "3000"]).into_command();
    let mut run = Run::new("sh").args(["-c", script, "sh"]).arg(exec.get_program());
    run = run.args(exec.get_args());
    run.success()?;
    let pid = fs::read_to_string(&file)?;
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
    assert_eq!(command, "sleep\x003000\0");
    let pids: Vec<i32> =
        serde_json::from_str(&bundle.oci(["ps", "-f", "json", &bundle.id]).success()?.stdout)?;
    assert!(pids.contains(&pid.parse()?), "{pids:?}");
    let sleeps = Path::new("/proc").join(&pid).join("ns/pid");
    assert_eq!(fs::read_link(sleeps)?, fs::read_link(format!("/proc/{}/ns/pid", bundle.pid()?))?);
    Ok(())
}

fn exec_says_why_not(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.ready("")?;
    let wrong: &[(&[&str], &[&str], &str)] = &[
        (&[], &[], "process args cannot be empty"),
        (&[], &["frob"], "exec: \"frob\": executable file not found in $PATH"),
        (&[], &["/frob"], "no such file or directory"),
        (&["--user", "root"], &["true"], "as int for uid failed"),
        (&["--cwd", "/nowhere"], &["true"], "no such file or directory"),
        (&["--env", "A"], &["true"], "invalid environment variable: \"A\""),
        (
            &["--console-socket", "/x"],
            &["true"],
            "cannot use console socket if runc will not detach",
        ),
        (&["-d", "-t"], &["sh"], "cannot allocate tty if runc will detach without setting console"),
    ];
    for (options, words, why) in wrong {
        refused(bundle.exec(options, words), 255, &["exec failed: ", why])?;
    }
    Ok(())
}

/// The user's terminal is connected to the container's, and has its size.
fn terminals(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("process.terminal", true).set("process.args", json!(["sh"])).write()?;
    let mut terminal = Terminal::spawn(bundle.run()?.into_command(), 30, 100)?;
    terminal.wait_for("# ")?;
    terminal.type_keys("stty size; tty\r")?;
    terminal.wait_for("30 100")?;
    terminal.wait_for("/dev/pts/0")?;
    // One after the other: Ctrl-C throws away what was typed and not yet read.
    terminal.type_keys("trap 'echo $((40+2)) interrupts' INT; echo $((30+1)) set\r")?;
    terminal.wait_for("31 set")?;
    terminal.type_keys("\x03")?;
    terminal.wait_for("42 interrupts")?;
    terminal.resize(40, 120)?;
    terminal.wait_until("the size is new", |screen| screen.contains("# "))?;
    terminal.type_keys("stty size\r")?;
    terminal.wait_for("40 120")?;

    let mut second = Terminal::spawn(bundle.exec(&["--tty"], &["sh"]).into_command(), 20, 60)?;
    second.type_keys("tty; stty size; echo $((50+2))\r")?;
    second.wait_for("20 60")?;
    second.wait_for("/dev/pts/1")?;
    second.type_keys("exit 4\r")?;
    assert_eq!(second.finish()?.code(), Some(4));
    terminal.type_keys("exit 5\r")?;
    assert_eq!(terminal.finish()?.code(), Some(5));
    Ok(())
}

fn sockets(bundle: &mut Bundle) -> Result<(), Failed> {
    let why = "cannot use console socket if runc will not detach or allocate tty";
    let done = bundle.create_with(&["--console-socket", "/nowhere"])?;
    assert_eq!(done.status.code(), Some(1));
    assert!(bundle.errors().contains(why), "{}", bundle.errors());
    bundle.set("process.terminal", true).create_fails()?;
    let why = "cannot allocate tty if runc will detach without setting console socket";
    assert!(bundle.errors().contains(why), "{}", bundle.errors());
    let run = bundle.oci(["run", "-d", "-b"]).arg(bundle.dir()).arg(&bundle.id);
    refused(run, 1, &[why])?;
    Ok(())
}

fn update(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.ready("")?;
    let id = &*bundle.id;
    let memory = || bundle.limit("memory/memory.limit_in_bytes", "memory.max");
    bundle.oci(["update", "--memory", "64M", id]).success()?;
    assert_eq!(memory()?, (64 << 20).to_string());
    bundle.oci(["update", id, "--memory=33554432", "--pids-limit", "77"]).success()?;
    assert_eq!(memory()?, (32 << 20).to_string());
    assert_eq!(bundle.limit("pids/pids.max", "pids.max")?, "77");
    let resources = json!({"memory": {"limit": 48 << 20}}).to_string();
    bundle.oci(["update", "--resources", "-", id]).input(&*resources).success()?;
    assert_eq!(memory()?, (48 << 20).to_string());
    let file = bundle.join("resources.json");
    fs::write(&file, json!({"pids": {"limit": 88}}).to_string())?;
    bundle.oci(["update", &format!("--resources={}", file.display()), id]).success()?;
    assert_eq!(bundle.limit("pids/pids.max", "pids.max")?, "88");
    assert_eq!(memory()?, (48 << 20).to_string());
    bundle.oci(["update", id]).success()?;
    refused(bundle.oci(["update", "--memory", "lots", id]), 1, &["invalid value for memory"])?;
    let nowhere = bundle.oci(["update", "-r", "/nowhere", id]);
    refused(nowhere, 1, &["no such file or directory"])?;
    Ok(())
}

fn events(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.resources", json!({"pids": {"limit": 50}})).ready("")?;
    let id = &*bundle.id;
    let done = bundle.oci(["events", "--stats", id]).success()?;
    assert_eq!(done.stdout.lines().count(), 1, "{}", done.stdout);
    let event: Value = serde_json::from_str(&done.stdout)?;
    assert_eq!((event["type"].as_str(), event["id"].as_str()), (Some("stats"), Some(id)));
    let data = &event["data"];
    assert_eq!(data["pids"]["limit"], 50, "{data}");
    assert!(data["pids"]["current"].as_u64() >= Some(1), "{data}");
    assert!(data["cpu"]["usage"]["total"].as_u64() > Some(0), "{data}");
    assert!(data["memory"]["usage"]["usage"].as_u64() > Some(0), "{data}");
    refused(bundle.oci(["events", "--interval", "0s", id]), 1, &["must be greater than 0"])?;

    // Line by line, until the container ends.
    let out = fs::File::create(bundle.join("events"))?;
    let mut command = bundle.oci(["events", "--interval=20ms", id]).into_command();
    let mut following = command.stdout(out).spawn()?;
    let lines = || fs::read_to_string(bundle.join("events")).unwrap_or_default();
    let seen = wait_until("three lines", PATIENCE, || lines().lines().count() >= 3);
    bundle.oci(["kill", id, "KILL"]).success()?;
    // runc waits until the cgroup has gone.
    bundle.until("stopped")?;
    bundle.verb("delete")?;
    let ended = wait_until("it ends as well", PATIENCE, || {
        following.try_wait().is_ok_and(|status| status.is_some_and(|status| status.success()))
    });
    let _ = following.kill();
    let _ = following.wait();
    seen?;
    ended?;
    for line in lines().lines() {
        let event: Value = serde_json::from_str(line)?;
        assert_eq!(event["type"], "stats");
    }
    Ok(())
}

fn checkpoints(bundle: &mut Bundle) -> Result<(), Failed> {
    for words in [&["checkpoint", "id"][..], &["restore", "--bundle", "/b", "id"]] {
        refused(bundle.oci(words.iter().copied()), 1, &["not supported"])?;
    }
    Ok(())
}

/// The same but for the version, the name, and the order of namespaces.
fn spec() -> Result<(), Failed> {
    let runc = find_program("runc").ok_or("there is no runc")?;
    for options in [&["spec"][..], &["spec", "--rootless"]] {
        let written = |program: &Path| -> Result<Value, Failed> {
            let dir = TempDir::new();
            Run::new(program).args(options).arg("--bundle").arg(dir.path()).success()?;
            let again = Run::new(program).args(options).dir(dir.path());
            refused(again, 1, &["exists. Remove it first"])?;
            let mut config: Value = serde_json::from_slice(&fs::read(dir.join("config.json"))?)?;
            config["ociVersion"] = "".into();
            config["hostname"] = "".into();
            if let Some(list) = config["linux"]["namespaces"].as_array_mut() {
                // This runc is older than the cgroup namespace in its template.
                list.retain(|namespace| namespace["type"] != "cgroup");
                list.sort_by_key(Value::to_string);
            }
            Ok(config)
        };
        assert_eq!(written(Path::new(&runtime()))?, written(&runc)?);
    }
    Ok(())
}

fn features(bundle: &mut Bundle) -> Result<(), Failed> {
    let done = bundle.oci(["features"]).success()?;
    let features: Value = serde_json::from_str(&done.stdout)?;
    let has = |list: &str, item: &str| {
        let list = features.pointer(list).and_then(Value::as_array);
        assert!(list.is_some_and(|list| list.iter().any(|found| found == item)), "{item}");
    };
    for hook in
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    {
        has("/hooks", hook);
    }
    for namespace in ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"] {
        has("/linux/namespaces", namespace);
    }
    for option in ["rbind", "ro", "rro", "rshared", "nosymfollow"] {
        has("/mountOptions", option);
    }
    has("/linux/capabilities", "CAP_SYS_ADMIN");
    has("/linux/seccomp/actions", "SCMP_ACT_ERRNO");
    assert_eq!(features["ociVersionMin"], "1.0.0");
    assert!(features["ociVersionMax"].as_str().is_some_and(|version| version.starts_with("1.")));
    let _ = host();
    Ok(())
}
