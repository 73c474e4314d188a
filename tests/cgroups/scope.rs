//! Cgroups that systemd makes, against a program that is called as busctl is and does what
//! systemd would.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, exit};

use ch01_clone::Result;
use ch03_cgroups::{Hierarchy, Limits};
use dockster_tests::{Failed, TempDir, Trial, host};

use crate::check;
use crate::child::{MODE, Process};

pub(crate) fn trials() -> Vec<Trial> {
    let root = |name: &str, test: fn() -> Result<(), Failed>| {
        let ignored = !host().root || Hierarchy::probe().is_err();
        Trial::test(name, test)
            .with_kind(if ignored { "needs root" } else { "" })
            .with_ignored_flag(ignored)
    };
    vec![
        root("scope::is_asked_for_and_entered", asked),
        root("scope::without_a_bus_a_sentence_says_so", no_bus),
        root("scope::names_that_are_none_are_refused", refused),
    ]
}

/// Makes the directories that it is told, and moves the process there. Says what it was
/// called with.
const BUSCTL: &str = r#"#!/bin/sh
echo "$@" >> "$LOG"
case "$*" in
    *ResetFailedUnit*) touch "$LOG.reset"; exit 0 ;;
    *ControlGroup*) echo 's "/user.slice"'; exit 0 ;;
esac
if [ -e "$LOG.failed" ] && [ ! -e "$LOG.reset" ]; then
    echo "Call failed: Unit $6 already exists." >&2; exit 1
fi
while [ "$1" != PIDs ]; do shift; done
IFS=:
for dir in $DIRS; do mkdir -p "$dir"; echo "$4" > "$dir/cgroup.procs"; done
echo 'o "/org/freedesktop/systemd1/job/1"'
"#;

/// The role of a runtime: makes a scope, puts a process there, and says where.
pub(crate) fn main() -> ! {
    let run = || -> Result<String, Failed> {
        let path = std::env::var("SCOPE").unwrap_or_default();
        let limits = Limits { pids: Some(33), memory: Some(64 << 20), ..Limits::default() };
        let annotations = std::env::var("ANNOTATION").map(|value| {
            HashMap::from([("org.systemd.property.TimeoutStopSec".to_owned(), value)])
        });
        let annotations = annotations.unwrap_or_default();
        let hierarchy = Hierarchy::probe()?;
        let cgroup = hierarchy.scope(Some(&path), "c1", &annotations)?;
        if std::env::var_os("ONLY_PATHS").is_some() {
            let paths: Vec<_> =
                cgroup.paths().values().map(|dir| dir.display().to_string()).collect();
            return Ok(paths.join(":"));
        }
        cgroup.provide(&limits)?;
        let process = Process::waiting("sleep")?;
        let before = cgroup.procs()?.len();
        cgroup.add(process.pid())?;
        let inside = cgroup.procs()?;
        let found = (before, inside == [process.pid()], cgroup.stats()?.pids_limit);
        cgroup.kill()?;
        cgroup.remove()?;
        Ok(format!("{found:?}"))
    };
    match run() {
        Ok(said) => println!("{said}"),
        Err(error) => println!("{}", error.message().unwrap_or_default()),
    }
    exit(0)
}

struct Stage {
    dir: TempDir,
    scope: String,
}

impl Stage {
    fn new(name: &str, with_bus: bool) -> std::result::Result<Stage, Failed> {
        let dir = TempDir::new();
        if with_bus {
            let busctl = dir.path().join("busctl");
            fs::write(&busctl, BUSCTL)?;
            fs::set_permissions(&busctl, PermissionsExt::from_mode(0o755))?;
        }
        let scope = format!("docksterx{}{name}.slice:test:c1", std::process::id());
        Ok(Stage { dir, scope })
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn run(&self, more: &[(&str, &str)]) -> std::result::Result<Output, Failed> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(MODE, "scope").env("SCOPE", &self.scope).env("LOG", self.log());
        command.env("PATH", format!("{}:/usr/bin:/bin", self.dir.path().display()));
        command.envs(more.iter().copied());
        Ok(command.output()?)
    }

    fn said(&self, more: &[(&str, &str)]) -> std::result::Result<String, Failed> {
        Ok(String::from_utf8_lossy(&self.run(more)?.stdout).trim().to_owned())
    }

    fn paths(&self) -> std::result::Result<String, Failed> {
        self.said(&[("ONLY_PATHS", "1")])
    }
}

fn asked() -> Result<(), Failed> {
    let stage = Stage::new("asked", true)?;
    let dirs = stage.paths()?;
    // A unit of that name has failed before.
    fs::write(stage.dir.path().join("log.failed"), "")?;
    let said = stage.said(&[("DIRS", &dirs), ("ANNOTATION", "5")])?;
    for dir in dirs.split(':') {
        let _ = fs::remove_dir(PathBuf::from(dir).parent().ok_or("no parent")?);
    }
    check(said == "(1, true, Some(33))", || said)?;
    let log = fs::read_to_string(stage.log())?;
    check(log.lines().count() == 3, || log.clone())?;
    let call = log.lines().last().ok_or("no call")?;
    for words in [
        "call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager \
         StartTransientUnit ssa(sv)a(sa(sv)) test-c1.scope replace ",
        &format!("Slice s docksterx{}asked.slice", std::process::id()),
        "Delegate b true",
        "PIDs au 1 ",
        "TasksMax t 33",
        "MemoryMax t 67108864",
        "TimeoutStopUSec t 5000000",
    ] {
        check(call.contains(words), || format!("{words:?} is not in {call}"))?;
    }
    check(call.ends_with(" 0"), || call.to_owned())
}

/// There is busctl perhaps, but nobody who listens.
fn no_bus() -> Result<(), Failed> {
    let stage = Stage::new("nobus", false)?;
    let said =
        stage.said(&[("PATH", "/nowhere"), ("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere")])?;
    check(said.contains("cat") || said.contains("busctl"), || said)?;
    let stage = Stage::new("nobus", false)?;
    let said = stage.said(&[("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere")])?;
    check(said.contains("busctl"), || said)?;
    for dir in stage.paths()?.split(':') {
        check(!PathBuf::from(dir).exists(), || format!("{dir} was made"))?;
    }
    Ok(())
}

fn refused() -> Result<(), Failed> {
    let hierarchy = Hierarchy::probe()?;
    let scope = |path: &str| hierarchy.scope(Some(path), "c1", &HashMap::new());
    for path in [
        "/docker/c1",
        "a.slice:b",
        "a:b:c",
        "a.slice:b:c:d",
        "-a.slice:b:c",
        "a--b.slice:b:c",
        "a.slice:b:",
        "a/../b.slice:b:c",
    ] {
        check(scope(path).is_err(), || format!("{path:?} was taken"))?;
    }
    let found = scope("a-b-c.slice:docker:1")?;
    let all = found
        .paths()
        .values()
        .all(|dir| dir.ends_with("a.slice/a-b.slice/a-b-c.slice/docker-1.scope"));
    check(all, || format!("{:?}", found.paths()))?;
    let found = scope("")?;
    let all = found.paths().values().all(|dir| dir.ends_with("system.slice/dockster-c1.scope"));
    check(all, || format!("{:?}", found.paths()))?;
    let annotation = HashMap::from([("org.systemd.property.X".to_owned(), "1".to_owned())]);
    let wrong = hierarchy.scope(None, "c1", &annotation);
    check(wrong.is_err(), || "a property called X".into())
}
