//! Where cgroups are made, and what is said where none can be.

use ch03_cgroups::{Cgroup, Hierarchy, Limits};
use dockster_tests::{Failed, Trial};
use nix::errno::Errno;

use crate::child::Process;
use crate::{Scratch, check, limiting, parent, unified};

pub(crate) fn trials() -> Vec<Trial> {
    let delegated = Hierarchy::probe().is_ok_and(|hierarchy| hierarchy.delegated());
    let v2 = |trial: Trial| {
        if unified() { trial } else { trial.with_kind("needs cgroups v2").with_ignored_flag(true) }
    };
    vec![
        Trial::test("place::without_delegation_a_sentence_says_so", no_delegation)
            .with_kind(if delegated { "needs a user without a delegated cgroup" } else { "" })
            .with_ignored_flag(delegated),
        limiting("place::paths_that_lead_elsewhere_are_refused", bad_paths),
        limiting("place::is_recorded_and_found_again", recorded),
        v2(limiting("place::no_internal_processes", no_internal_processes)),
        v2(limiting("place::controllers_are_handed_down", handed_down)),
    ]
}

fn no_delegation() -> Result<(), Failed> {
    let hierarchy = Hierarchy::probe()?;
    let limits = Limits { memory: Some(64 << 20), ..Limits::default() };
    let error = hierarchy.cgroup(parent(), "a").and_then(|cgroup| cgroup.create(&limits));
    let hint = error.err().and_then(|error| error.hint).ok_or("no error, or one without a hint")?;
    check(hint.contains("root") || hint.contains("init"), || hint)
}

fn bad_paths() -> Result<(), Failed> {
    let hierarchy = Hierarchy::probe()?;
    let wrong = [
        ("dockster", ""),
        ("dockster", ".."),
        ("..", "a"),
        ("/etc", "a"),
        ("a/../..", "b"),
        ("a", "/b"),
        ("a", "b/../../c"),
        ("a", "."),
    ];
    for (parent, name) in wrong {
        check(hierarchy.cgroup(parent, name).is_err(), || {
            format!("{parent:?} {name:?} was taken")
        })?;
    }
    Ok(())
}

fn recorded() -> Result<(), Failed> {
    let scratch = Scratch::new("recorded", &Limits { pids: Some(7), ..Limits::default() })?;
    let again = Cgroup::from_paths(scratch.paths())?;
    check(again == scratch.0, || format!("{again:?}"))?;
    check(again.stats()?.pids_limit == Some(7), || format!("{:?}", again.stats()))?;
    check(Cgroup::from_paths(Default::default()).is_err(), || "no paths are a cgroup".into())
}

/// A process in the parent: its children get no controllers.
fn no_internal_processes() -> Result<(), Failed> {
    let outer = Scratch::place("outer")?;
    outer.create(&Limits::default())?;
    let _inside = Process::started("sleep", &outer)?;
    let inner = Hierarchy::probe()?.cgroup(format!("{}/outer", parent()), "inner")?;
    let error =
        inner.create(&Limits { pids: Some(5), ..Limits::default() }).err().ok_or("it was made")?;
    check(error.errno == Some(Errno::EBUSY), || error.to_string())?;
    check(error.hint.as_ref().is_some_and(|h| h.contains("may hold none")), || {
        format!("{error:?}")
    })?;
    check(!outer.dir("").join("inner").exists(), || "inner was left behind".into())
}

fn handed_down() -> Result<(), Failed> {
    let deep = Hierarchy::probe()?.cgroup(format!("{}/x/y", parent()), "z").map(Scratch)?;
    deep.create(&Limits { cpu_shares: Some(1024), ..Limits::default() })?;
    check(deep.text("cpu.weight") == "100", || deep.text("cpu.weight"))
}
