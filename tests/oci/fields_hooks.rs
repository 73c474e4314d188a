//! `hooks` and `annotations` of config.json.

use std::fs;
use std::time::{Duration, Instant};

use dockster_tests::{Failed, Need, wait_until};
use serde_json::{Value, json};

use crate::bundle::{Bundle, PATIENCE, case};
use crate::fields::{Shown, shows};

const ROOT: &[Need] = &[Need::Root];

/// All six, in the order in which they run.
const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

pub fn shown() -> Vec<Shown> {
    vec![
        shows(
            &[
                "hooks.prestart[].path",
                "hooks.createRuntime[].path",
                "hooks.createContainer[].path",
                "hooks.startContainer[].path",
                "hooks.poststart[].path",
                "hooks.poststop[].path",
            ],
            case("hooks::order", ROOT, order),
        ),
        shows(&[], case("hooks::state_on_their_input", ROOT, state)),
        shows(
            &[
                "hooks.prestart[].args",
                "hooks.createRuntime[].args",
                "hooks.createContainer[].args",
                "hooks.startContainer[].args",
                "hooks.poststart[].args",
                "hooks.poststop[].args",
                "hooks.prestart[].env",
                "hooks.createRuntime[].env",
                "hooks.createContainer[].env",
                "hooks.startContainer[].env",
                "hooks.poststart[].env",
                "hooks.poststop[].env",
            ],
            case("hooks::arguments_and_environment", ROOT, args_and_env),
        ),
        shows(
            &[
                "hooks.prestart[].timeout",
                "hooks.createRuntime[].timeout",
                "hooks.createContainer[].timeout",
                "hooks.startContainer[].timeout",
                "hooks.poststart[].timeout",
                "hooks.poststop[].timeout",
            ],
            case("hooks::timeout", ROOT, timeout),
        ),
        shows(&[], case("hooks::a_failure_before_the_program", ROOT, failing)),
        shows(&[], case("hooks::a_failure_afterwards", ROOT, failing_afterwards)),
        shows(&[], case("hooks::namespaces", ROOT, namespaces)),
        shows(&[], case("hooks::the_root_before_and_after", ROOT, the_root)),
        shows(&[], case("hooks::not_absolute", ROOT, not_absolute)),
        shows(&["annotations.*"], case("hooks::annotations", ROOT, annotations)),
    ]
}

/// A shell with this script. `startContainer` is one of the container's own.
fn hook(bundle: &mut Bundle, kind: &str, script: &str) {
    bundle.push(
        &format!("hooks.{kind}"),
        json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}),
    );
}

/// Where a hook of this kind writes so that the host finds it in the root: `startContainer`
/// has the container's root.
fn place(bundle: &Bundle, kind: &str) -> String {
    match kind {
        "startContainer" => String::new(),
        _ => bundle.rootfs().to_string_lossy().into_owned(),
    }
}

fn written(bundle: &Bundle, name: &str) -> String {
    fs::read_to_string(bundle.rootfs().join(name)).unwrap_or_default()
}

/// Twice each: they run in the listed order, each before or after the program as it should.
fn order(bundle: &mut Bundle) -> Result<(), Failed> {
    for kind in HOOKS {
        let log = format!("{}/log", place(bundle, kind));
        hook(bundle, kind, &format!("echo {kind} 1 >>{log}"));
        hook(bundle, kind, &format!("echo {kind} 2 >>{log}"));
    }
    bundle.script("echo program >>/log; sleep 1000").create()?;
    let twice = |kinds: &[&str]| -> String {
        kinds.iter().map(|kind| format!("{kind} 1\n{kind} 2\n")).collect()
    };
    let created = twice(&HOOKS[..3]);
    // runc 1.1.5 runs poststart here already.
    let is_other = crate::bundle::other().is_some();
    let text = written(bundle, "log");
    assert!(text == created || is_other && text.starts_with(&created), "{text}");
    bundle.verb("start")?;
    wait_until("the program runs", PATIENCE, || written(bundle, "log").contains("program"))?;
    // The program and poststart are beside each other.
    let mut rest: Vec<String> =
        written(bundle, "log")[created.len()..].lines().map(str::to_owned).collect();
    rest.retain(|line| line != "program");
    if is_other {
        rest.sort_by_key(|line| line.starts_with("poststart"));
    }
    assert_eq!(rest, ["startContainer 1", "startContainer 2", "poststart 1", "poststart 2"]);
    bundle.oci(["kill", &bundle.id, "KILL"]).success()?;
    bundle.until("stopped")?;
    assert!(!written(bundle, "log").contains("poststop"), "it is delete's");
    bundle.verb("delete")?;
    assert!(written(bundle, "log").ends_with("poststop 1\npoststop 2\n"));
    Ok(())
}

fn state(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("annotations", json!({"org.example": "value"}));
    for kind in HOOKS {
        let to = place(bundle, kind);
        hook(bundle, kind, &format!("cat >{to}/{kind}.json"));
    }
    bundle.ready("true")?;
    let pid = bundle.pid()?;
    bundle.end()?;
    for kind in HOOKS {
        let text = written(bundle, &format!("{kind}.json"));
        let state: Value =
            serde_json::from_str(&text).map_err(|e| format!("{kind}: {e}: {text}"))?;
        // config.md, "POSIX-platform Hooks", and runtime.md, "Lifecycle".
        let status = match kind {
            "prestart" | "createRuntime" | "createContainer" => &["creating", "created"][..],
            // runc says "created" before the program is started.
            "startContainer" => &["created"],
            // runc 1.1.5 runs it before.
            "poststart" if crate::bundle::other().is_some() => &["created", "running"],
            "poststart" => &["running"],
            _ => &["stopped"],
        };
        let said = state["status"].as_str().unwrap_or("");
        assert!(status.contains(&said), "{kind}: {text}");
        assert_eq!(state["id"], *bundle.id, "{kind}");
        assert_eq!(state["annotations"]["org.example"], "value", "{kind}");
        assert_eq!(state["bundle"], *bundle.dir().to_string_lossy(), "{kind}");
        assert!(state["ociVersion"].is_string(), "{kind}: {text}");
        match kind {
            // As the container numbers it, or as the host does: runc says 1 or 0 or both.
            "startContainer" => {}
            "createContainer" if state["pid"] == 1 => {}
            "poststop" => assert!(state["pid"].as_i64().unwrap_or(0) == 0, "{text}"),
            _ => assert_eq!(state["pid"], pid, "{kind}"),
        }
    }
    Ok(())
}

fn args_and_env(bundle: &mut Bundle) -> Result<(), Failed> {
    for kind in HOOKS {
        let to = place(bundle, kind);
        let script = format!("echo \"$0 $1\" >{to}/{kind}; env | sort >>{to}/{kind}");
        bundle.push(
            &format!("hooks.{kind}"),
            json!({"path": "/bin/sh", "args": [if kind == "startContainer" { "sh" } else { "own name" }, "-c", script, "zero", "one two"],
                   "env": ["A=b c", "PATH=/bin:/usr/bin"]}),
        );
    }
    bundle.ready("true")?;
    bundle.end()?;
    for kind in HOOKS {
        let text = written(bundle, kind);
        let lines: Vec<_> = text
            .lines()
            .filter(|line| {
                !["PWD=", "SHLVL=", "_=", "OLDPWD="].iter().any(|own| line.starts_with(own))
            })
            .collect();
        assert_eq!(lines, ["zero one two", "A=b c", "PATH=/bin:/usr/bin"], "{kind}");
    }
    // An empty one is empty. (Without any, runc and crun differ.)
    let to = bundle.join("empty");
    bundle.unset("hooks").push(
        "hooks.prestart",
        json!({"path": "/bin/sh", "env": [], "args": ["sh", "-c",
               format!("tr '\\0' '\\n' </proc/$$/environ >{}", to.display())]}),
    );
    bundle.start()?;
    bundle.end()?;
    assert_eq!(fs::read_to_string(to)?, "");
    Ok(())
}

/// Time is up after a second, and what is left of the hook with it.
fn timeout(bundle: &mut Bundle) -> Result<(), Failed> {
    for kind in HOOKS {
        bundle.set("hooks", json!({}));
        let fine = ["poststart", "poststop"].contains(&kind);
        bundle.push(
            &format!("hooks.{kind}"),
            json!({"path": "/bin/sh", "args": ["sh", "-c", "exec sleep 30"],
                   "env": ["PATH=/usr/bin:/bin"], "timeout": 1}),
        );
        let start = Instant::now();
        // A failure in poststart: runc 1.1.5 ends the container, the specification of
        // version 1.2 only warns.
        let started = bundle.script("sleep 1000").start();
        let took = start.elapsed();
        match kind {
            "poststop" => started?,
            // It does not wait for its program to say whether that went well.
            "poststart" | "startContainer" if crate::bundle::other().is_some() => {}
            "poststart" => started?,
            _ => {
                let said = started.err().ok_or(format!("{kind} does not stop it"))?;
                assert!(!said.message().unwrap_or("").is_empty());
            }
        }
        bundle.oci(["delete", "--force", &bundle.id]).done()?;
        let took = if fine { start.elapsed() } else { took };
        assert!(took >= Duration::from_millis(900), "{kind} took {took:?}");
        assert!(took < dockster_tests::scaled(Duration::from_secs(8)), "{kind} took {took:?}");
        bundle.nothing_left()?;
    }
    Ok(())
}

fn failing(bundle: &mut Bundle) -> Result<(), Failed> {
    for kind in &HOOKS[..4] {
        let log = bundle.rootfs().join("stopped");
        bundle.set("hooks", json!({}));
        hook(bundle, kind, "echo the hook complains >&2; exit 3");
        let to = place(bundle, kind);
        hook(bundle, kind, &format!("touch {to}/second"));
        hook(bundle, "poststop", &format!("touch {}", log.display()));
        bundle.script("touch /program");
        let done = bundle.run()?.done()?;
        if done.status.success() {
            return Err(done.failed(&format!("{kind} does not stop it")));
        }
        assert!(!done.stderr.is_empty(), "{kind}");
        assert!(!bundle.rootfs().join("program").exists(), "{kind}");
        assert!(!bundle.rootfs().join("second").exists(), "{kind}: no further hook is run");
        bundle.nothing_left()?;
        // By the two verbs.
        match bundle.create() {
            Ok(()) if *kind == "startContainer" => {
                let done = bundle.oci(["start", &bundle.id]).done()?;
                let is_other = crate::bundle::other().is_some();
                assert!(is_other || !done.status.success(), "start with a failing {kind}");
                bundle.oci(["delete", "--force", &bundle.id]).done()?;
            }
            Ok(()) => return Err(format!("create with a failing {kind}").into()),
            Err(_) => assert_ne!(*kind, "startContainer"),
        }
        assert!(!bundle.rootfs().join("program").exists(), "{kind}");
        bundle.nothing_left()?;
    }
    Ok(())
}

/// "the runtime MUST log a warning, but ... continue" (runtime.md, poststop). What poststart
/// does differs from runtime to runtime; the program lives on as the specification says.
fn failing_afterwards(bundle: &mut Bundle) -> Result<(), Failed> {
    let log = bundle.join("log");
    for kind in &HOOKS[4..] {
        hook(bundle, kind, "exit 3");
        hook(bundle, kind, &format!("echo {kind} >>{}", log.display()));
    }
    if crate::bundle::other().is_some() {
        bundle.unset("hooks.poststart");
    }
    bundle.script("sleep 1000").start()?;
    assert_eq!(bundle.state()?["status"], "running");
    bundle.end()?;
    let wanted = match crate::bundle::other() {
        // runc 1.1.5 leaves the others out.
        Some(_) => fs::read_to_string(&log).unwrap_or_default(),
        None => "poststart\npoststop\n".into(),
    };
    assert_eq!(fs::read_to_string(&log).unwrap_or_default(), wanted);
    Ok(())
}

/// Those of the runtime run where the runtime does, the others in the container.
fn namespaces(bundle: &mut Bundle) -> Result<(), Failed> {
    for kind in HOOKS {
        let to = place(bundle, kind);
        hook(
            bundle,
            kind,
            &format!("for k in mnt uts; do readlink /proc/self/ns/$k; done >{to}/{kind}.ns"),
        );
    }
    bundle
        .script("for k in mnt uts; do readlink /proc/self/ns/$k; done >/program.ns; sleep 1000")
        .start()?;
    wait_until("the program has written", PATIENCE, || {
        written(bundle, "program.ns").lines().count() == 2
    })?;
    bundle.end()?;
    let own = written(bundle, "program.ns");
    let host: String = ["mnt", "uts"]
        .iter()
        .map(|kind| fs::read_link(format!("/proc/self/ns/{kind}")))
        .map(|link| link.map(|link| format!("{}\n", link.display())))
        .collect::<Result<_, _>>()?;
    for kind in HOOKS {
        let inside = ["createContainer", "startContainer"].contains(&kind);
        assert_eq!(
            written(bundle, &format!("{kind}.ns")),
            if inside { &*own } else { &*host },
            "{kind}"
        );
    }
    Ok(())
}

/// createContainer runs before pivot_root with all mounts in place; startContainer after it.
fn the_root(bundle: &mut Bundle) -> Result<(), Failed> {
    let root = bundle.rootfs().to_string_lossy().into_owned();
    hook(
        bundle,
        "createContainer",
        &format!(
            "test -e {root}/proc/self/status && test -e {root}/dev/null && echo mounted >{root}/log"
        ),
    );
    hook(
        bundle,
        "createContainer",
        &format!(
            "mkdir {root}/by-hook && mount -t tmpfs hook {root}/by-hook && echo x >{root}/by-hook/file"
        ),
    );
    hook(
        bundle,
        "startContainer",
        "test -e /bin/busybox && test ! -e /usr/bin/env && echo inside >>/log",
    );
    // The hooks of podman and NVIDIA mount into the root so.
    assert_eq!(bundle.says("cat /log /by-hook/file")?, "mounted\ninside\nx");
    assert!(!bundle.rootfs().join("by-hook/file").exists());
    Ok(())
}

fn not_absolute(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.push("hooks.prestart", json!({"path": "bin/true"}));
    bundle.refuses("true")?;
    bundle.set("hooks", json!({"prestart": [{"path": "/no/such/hook"}]}));
    assert!(bundle.refuses("true")?.contains("/no/such/hook"));
    Ok(())
}

fn annotations(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("annotations", json!({"a": "b", "com.example/key": "v w"})).script("sleep 1000");
    bundle.start()?;
    let state = bundle.state()?;
    assert_eq!(state["annotations"], json!({"a": "b", "com.example/key": "v w"}), "{state}");
    assert_eq!(state["bundle"], *bundle.dir().to_string_lossy());
    assert_eq!(state["id"], *bundle.id);
    assert_eq!(state["status"], "running");
    Ok(())
}
