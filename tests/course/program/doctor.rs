//! `cargo x doctor`: it tells, asks, does, writes down, and takes back. What it runs are fakes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use dockster_tests::{Failed, Run, TempDir, Terminal, Trial, trial};

use super::x;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("doctor_tells", &[], tells),
        trial("doctor_names_the_line_that_installs", &[], names_the_line),
        trial("doctor_fix_only_shows_without_a_terminal", &[], only_shows),
        trial("doctor_fix_does_what_is_wanted_and_takes_it_back", &[], does_and_takes_back),
        trial("doctor_fix_leaves_what_is_not_wanted", &[], leaves_it),
        trial("doctor_fix_forgets_what_did_not_work", &[], forgets_failures),
    ]
}

fn tells() -> Result<(), Failed> {
    let home = TempDir::new();
    let limit = Duration::from_secs(60);
    let done = x(&["doctor"]).env("DOCKSTER_ROOT", home.join("state")).limit(limit).done()?;
    for check in ["kernel", "user namespace", "id ranges", "cgroups", "nf_tables", "by hand"] {
        done.says(check)?;
    }
    done.says("The course will")?;
    for line in done.stdout.lines() {
        assert!(line.chars().count() <= 78, "too long: {line}");
    }
    // Also an overlay's directories, which have no permissions.
    assert_eq!(fs::read_dir(home.path())?.count(), 0, "left behind in {:?}", home.path());
    Ok(())
}

/// A machine whose package manager and sudo are ours: they write down what they get.
struct Fakes {
    dir: TempDir,
}

impl Fakes {
    fn new(installer: &str) -> Result<Self, Failed> {
        let fakes = Fakes { dir: TempDir::new() };
        fs::create_dir(fakes.dir.join("bin"))?;
        for name in ["apt-get", "dnf", "pacman", "zypper", "apk"] {
            fakes.program(name, installer)?;
        }
        // Everything else that a cure may run: it must never be the machine's own.
        let others =
            ["sysctl", "usermod", "modprobe", "chmod", "mkdir", "systemctl", "tee", "sed", "rm"];
        for name in others {
            fakes.program(name, "")?;
        }
        fakes.program("sudo", "shift; exec \"$@\"")?;
        Ok(fakes)
    }

    fn program(&self, name: &str, script: &str) -> Result<(), Failed> {
        let file = self.dir.join("bin").join(name);
        let log = self.dir.join("log");
        let text = format!("#!/bin/sh\necho \"{name} $*\" >> {}\n{script}\n", log.display());
        fs::write(&file, text)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    fn x(&self, words: &[&str]) -> Run {
        x(words)
            .env("PATH", self.dir.join("bin"))
            .env("XDG_STATE_HOME", self.dir.path())
            .env("TMPDIR", self.dir.path())
            .limit(Duration::from_secs(60))
    }

    /// In a terminal, with this answer to every question; what it said.
    fn answered(&self, words: &[&str], answer: &str) -> Result<String, Failed> {
        let mut terminal = Terminal::spawn(self.x(words).into_command(), 50, 100)?;
        terminal.type_keys(format!("{answer}\r").repeat(9))?;
        terminal.finish()?;
        Ok(terminal.transcript())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    fn record(&self) -> String {
        fs::read_to_string(self.dir.join("dockster/host-changes")).unwrap_or_default()
    }
}

fn names_the_line() -> Result<(), Failed> {
    let fakes = Fakes::new("")?;
    let done = fakes.x(&["doctor"]).done()?;
    done.says("tools to use by hand: not here: strace")?.says("strace")?;
    assert_eq!(fakes.log(), "");
    Ok(())
}

fn only_shows() -> Result<(), Failed> {
    let fakes = Fakes::new("")?;
    let done = fakes.x(&["doctor", "--fix"]).done()?;
    done.says("Change:  install ")?.says("undo:")?.says("not done: this is no terminal")?;
    assert_eq!((fakes.log(), fakes.record()), (String::new(), String::new()));
    fakes.x(&["clean", "--host"]).success()?.says("Nothing on this machine was changed")?;
    Ok(())
}

fn does_and_takes_back() -> Result<(), Failed> {
    let fakes = Fakes::new("")?;
    let said = fakes.answered(&["doctor", "--fix"], "y")?;
    assert!(said.contains("Make it? [y/N]") && said.contains("Done, and written down"), "{said}");
    let (log, record) = (fakes.log(), fakes.record());
    assert!(log.contains("install") || log.contains(" -S ") || log.contains("add"), "{log}");
    let all = record.lines().count();
    assert!(all > 0 && record.contains("install "), "{record}");

    // Not without being asked.
    fakes.x(&["clean", "--host"]).code(1)?.says("not done: this is no terminal")?;
    assert_eq!(fakes.record(), record);

    let said = fakes.answered(&["clean", "--host"], "y")?;
    assert_eq!(said.matches("Taken back.").count(), all, "{said}");
    assert_eq!(fakes.record(), "");
    // The newest goes first.
    let newest = record.lines().last().and_then(|line| line.split('\t').next_back()).unwrap_or("");
    let after = fakes.log();
    let undone: Vec<_> = after[log.len()..].lines().filter(|l| !l.starts_with("sudo")).collect();
    assert_eq!(undone.first(), newest.split(" && ").next().as_ref(), "{after}");
    fakes.x(&["clean", "--host"]).success()?.says("Nothing on this machine was changed")?;
    Ok(())
}

fn leaves_it() -> Result<(), Failed> {
    let fakes = Fakes::new("")?;
    let said = fakes.answered(&["doctor", "--fix"], "")?;
    assert!(said.contains("Left as it is."), "{said}");
    assert_eq!((fakes.log(), fakes.record()), (String::new(), String::new()));
    Ok(())
}

fn forgets_failures() -> Result<(), Failed> {
    let fakes = Fakes::new("exit 1")?;
    let said = fakes.answered(&["doctor", "--fix"], "y")?;
    assert!(said.contains("it did not work"), "{said}");
    assert!(!fakes.record().contains("install "), "{}", fakes.record());
    Ok(())
}
