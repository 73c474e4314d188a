//! Chapter 3's library against real cgroups: what is limited is really limited,
//! what is killed is dead, and nothing is left behind.
//!
//! Cgroups are made below `dockster-test-PID` only, and the processes in them
//! are this program again (see `child.rs`), standing at a gate until they are
//! where they belong.

#![forbid(unsafe_code)]

mod child;
mod devices;
mod life;
mod limits;
mod more;
mod options;
mod path;
mod place;
mod scope;

use std::path::PathBuf;

use ch01_clone::Result;
use ch03_cgroups::{Cgroup, Hierarchy, Limits};
use dockster_tests::{Failed, Trial, run};

type Test = fn() -> Result<(), Failed>;

fn main() {
    if let Some(mode) = std::env::var_os(child::MODE) {
        if mode == "scope" {
            scope::main();
        }
        child::main(&mode.to_string_lossy());
    }
    let mut trials = options::trials();
    trials.extend(place::trials());
    trials.extend(life::trials());
    trials.extend(limits::trials());
    trials.extend(more::trials());
    trials.extend(devices::trials());
    trials.extend(path::trials());
    trials.extend(scope::trials());
    run(trials)
}

/// A test that runs where this user can set limits.
fn limiting(name: &str, test: Test) -> Trial {
    let delegated = Hierarchy::probe().is_ok_and(|hierarchy| hierarchy.delegated());
    let trial = Trial::test(name, test);
    if delegated {
        trial
    } else {
        trial.with_kind("needs a delegated cgroup").with_ignored_flag(true)
    }
}

/// A cgroup that is gone when the test ends, however it ends.
struct Scratch(Cgroup);

impl Scratch {
    /// A place below this process's own parent; nothing is made.
    fn place(name: &str) -> Result<Self> {
        Hierarchy::probe()?.cgroup(parent(), name).map(Self)
    }

    /// A cgroup with these limits.
    fn new(name: &str, limits: &Limits) -> Result<Self> {
        let scratch = Self::place(name)?;
        scratch.create(limits)?;
        Ok(scratch)
    }

    /// Where a controller's files of it are, on this host.
    fn dir(&self, controller: &str) -> PathBuf {
        let paths = self.paths();
        let of = |names: &str| names.split(',').any(|name| name == controller);
        let found = paths.iter().find(|(names, _)| of(names)).or_else(|| paths.get_key_value(""));
        found.map(|(_, dir)| dir.clone()).unwrap_or_default()
    }

    /// A file's text, without the line's end.
    fn text(&self, file: &str) -> String {
        let controller = file.split('.').next().unwrap_or(file);
        let path = self.dir(controller).join(file);
        std::fs::read_to_string(&path)
            .unwrap_or_else(|e| format!("{path:?}: {e}"))
            .trim()
            .to_owned()
    }
}

impl std::ops::Deref for Scratch {
    type Target = Cgroup;

    fn deref(&self) -> &Cgroup {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.kill();
        let _ = self.remove_and_prune();
    }
}

/// A cgroup of `cgroup2` alone, also where version 1 has the controllers.
fn beside_v1(name: &str) -> Result<Option<Scratch>> {
    let mut paths = Hierarchy::probe()?.cgroup(parent(), name)?.paths();
    paths.retain(|controllers, _| controllers.is_empty());
    match paths.is_empty() {
        true => Ok(None),
        false => Cgroup::from_paths(paths).map(|cgroup| Some(Scratch(cgroup))),
    }
}

fn parent() -> String {
    format!("dockster-test-{}", std::process::id())
}

/// Whether version 2 has the controllers here.
fn unified() -> bool {
    Hierarchy::probe().is_ok_and(|hierarchy| hierarchy.kind() == ch03_cgroups::Kind::Unified)
}

/// Fails a test with a sentence unless it holds.
fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}
