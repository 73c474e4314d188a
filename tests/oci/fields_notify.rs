//! A supervisor of system calls (`SCMP_ACT_NOTIFY`), and what it is told.

use std::os::fd::OwnedFd;
use std::thread;

use dockster_tests::{Answer, Failed, Need, supervise};
use nix::errno::Errno;
use serde_json::{Value, json};

use crate::bundle::{Bundle, PATIENCE, case, ours};
use crate::fields::{Shown, shows};
use crate::sockets::Listener;

const ROOT: &[Need] = &[Need::Root];

pub fn shown() -> Vec<Shown> {
    vec![
        shows(
            &["linux.seccomp.listenerPath", "linux.seccomp.listenerMetadata"],
            case("seccomp::a_supervisor_is_asked", ROOT, asked),
        ),
        shows(&[], case("seccomp::a_supervisor_of_exec", ROOT, asked_of_exec)),
        shows(&[], ours("seccomp::a_supervisor_of_run", &[], asked_of_run)),
        shows(&[], ours("seccomp::a_supervisor_is_not_there", &[], nobody)),
        shows(&[], ours("seccomp::a_supervisor_that_cannot_be", &[], wrong)),
    ]
}

/// All calls that make a directory, on any machine.
const MKDIR: [&str; 2] = ["mkdir", "mkdirat"];

/// These calls are for whoever listens at the socket.
fn ask_about(bundle: &mut Bundle, calls: &[&str]) -> Result<Listener, Failed> {
    let listener = Listener::at(bundle.join("supervisor"))?;
    bundle.set(
        "linux.seccomp",
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": listener.path(),
            "listenerMetadata": "a=1; b",
            "syscalls": [{"names": calls, "action": "SCMP_ACT_NOTIFY"}],
        }),
    );
    Ok(listener)
}

/// What comes when a process has loaded its filter.
fn told(listener: &Listener) -> Result<(Value, OwnedFd), Failed> {
    let (text, mut fds) = listener.receive()?;
    let told: Value = serde_json::from_str(&text)?;
    assert_eq!((&told["fds"], fds.len()), (&json!(["seccompFd"]), 1), "{told}");
    assert_eq!(told["metadata"], "a=1; b");
    Ok((told, fds.remove(0)))
}

/// No directory can be made: they lie on another file system.
fn refuse(listener: &OwnedFd) -> Result<usize, Failed> {
    Ok(supervise(listener, PATIENCE, |_| Answer::Fails(Errno::EXDEV))?.len())
}

const REFUSED: &str = "Invalid cross-device link";

fn asked(bundle: &mut Bundle) -> Result<(), Failed> {
    for no_new_privileges in [false, true] {
        bundle.set("process.noNewPrivileges", no_new_privileges);
        let listener = ask_about(bundle, &MKDIR)?;
        bundle.set("annotations", json!({"org.example.of": "it"}));
        bundle.script("mkdir /tmp/a; mkdir /tmp/b; ls /tmp; echo end").create()?;
        let pid = bundle.pid()?;
        bundle.verb("start")?;
        let (told, fd) = told(&listener)?;
        assert_eq!((&told["pid"], &told["state"]["pid"]), (&json!(pid), &json!(pid)), "{told}");
        assert_eq!(told["state"]["id"], bundle.id);
        assert_eq!(told["state"]["bundle"], bundle.dir().to_string_lossy().into_owned());
        assert_eq!(told["state"]["annotations"]["org.example.of"], "it");
        assert!(told["ociVersion"].is_string() && told["state"]["ociVersion"].is_string());
        assert_eq!(refuse(&fd)?, 2);
        bundle.until("stopped")?;
        assert_eq!(bundle.output(), "end\n");
        assert_eq!(bundle.errors().matches(REFUSED).count(), 2, "{}", bundle.errors());
        bundle.end()?;
        std::fs::remove_file(bundle.join("out"))?;
        std::fs::remove_file(bundle.join("err"))?;
    }
    Ok(())
}

fn asked_of_exec(bundle: &mut Bundle) -> Result<(), Failed> {
    let listener = ask_about(bundle, &MKDIR)?;
    bundle.ready("true")?;
    let _of_the_container = told(&listener)?;
    let pid_file = bundle.join("pid").to_string_lossy().into_owned();
    thread::scope(|scope| {
        let exec = || bundle.exec(&["--pid-file", &pid_file], &["mkdir", "/tmp/d"]).code(1);
        let exec = scope.spawn(exec);
        let (told, fd) = told(&listener)?;
        assert_eq!(refuse(&fd)?, 1);
        exec.join().map_err(|_| "exec panicked")??.complains(REFUSED)?;
        assert_eq!(told["pid"].to_string(), std::fs::read_to_string(&pid_file)?);
        assert_eq!(told["state"]["pid"], bundle.pid()?);
        assert_eq!(told["state"]["status"], "running");
        bundle.end()
    })
}

/// Also about the call by which we become the program, and those after it.
fn asked_of_run(bundle: &mut Bundle) -> Result<(), Failed> {
    let calls = ["execve", "recvmsg", "mkdir", "mkdirat"];
    let listener = ask_about(bundle, &calls)?;
    bundle.set("process.noNewPrivileges", true).script("mkdir /tmp/d && ls /tmp");
    thread::scope(|scope| {
        let run = bundle.run()?;
        let run = scope.spawn(|| run.success());
        let (_, fd) = told(&listener)?;
        let calls = supervise(&fd, PATIENCE, |_| Answer::GoesOn)?;
        assert!(calls.contains(&nix::libc::SYS_execve), "{calls:?}");
        assert_eq!(run.join().map_err(|_| "run panicked")??.stdout, "d\n");
        Ok(())
    })
}

fn nobody(bundle: &mut Bundle) -> Result<(), Failed> {
    let listener = ask_about(bundle, &MKDIR)?;
    let path = listener.path();
    drop(listener);
    bundle.script("echo it runs");
    let done = bundle.run()?.code(1)?;
    done.complains(&path)?;
    assert_eq!(done.stdout, "");
    Ok(())
}

fn wrong(bundle: &mut Bundle) -> Result<(), Failed> {
    let asks = json!([{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]);
    let sends = json!([{"names": ["bpf", "sendmsg"], "action": "SCMP_ACT_NOTIFY"}]);
    let allow = "SCMP_ACT_ALLOW";
    let profiles = [
        (json!({"defaultAction": allow, "syscalls": asks}), "takes a listenerPath"),
        (json!({"defaultAction": allow, "listenerMetadata": "a"}), "takes a listenerPath"),
        (json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/s"}), "single calls only"),
        (
            json!({"defaultAction": allow, "listenerPath": "/s", "syscalls": sends}),
            "SCMP_ACT_NOTIFY cannot be used for sendmsg",
        ),
    ];
    for (profile, why) in profiles {
        let said = bundle.set("linux.seccomp", profile).refuses("true")?;
        assert!(said.contains(why), "{said}");
    }
    // Who asks about nothing needs nobody.
    let unused = json!({"defaultAction": allow, "listenerPath": "/nowhere"});
    assert_eq!(bundle.set("linux.seccomp", unused).says("echo fine")?, "fine");
    Ok(())
}
