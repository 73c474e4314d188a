//! Where a configuration wants its cgroup.

use std::fs;
use std::path::{Path, PathBuf};

use ch03_cgroups::{Cgroup, Hierarchy, Limits};
use dockster_tests::{Failed, Trial, host};
use nix::errno::Errno;

use crate::child::Process;
use crate::{Scratch, beside_v1, check, limiting, parent, unified};

pub(crate) fn trials() -> Vec<Trial> {
    let delegated = Hierarchy::probe().is_ok_and(|hierarchy| hierarchy.delegated());
    vec![
        limiting("path::absolute_relative_and_absent", places),
        limiting("path::an_empty_one_is_taken_over", taken_over),
        limiting("path::one_in_use_is_refused", in_use),
        limiting("path::what_fails_leaves_what_was_there", fails),
        limiting("path::parents_stay", parents_stay),
        limiting("path::one_more_beside_init", beside),
        limiting("path::processes_above_are_named", processes_above),
        Trial::test("path::without_a_right_none_is_needed", none_needed)
            .with_kind(if delegated { "needs a user without a delegated cgroup" } else { "" })
            .with_ignored_flag(delegated),
    ]
}

fn place(path: Option<&str>, id: &str) -> Result<Cgroup, Failed> {
    let hierarchy = Hierarchy::probe()?;
    let place = hierarchy.place(path.map(Path::new), id, &Limits::default())?;
    Ok(place.ok_or("there is no place")?)
}

fn ends(cgroup: &Cgroup, with: &str) -> bool {
    cgroup.paths().values().all(|dir| dir.ends_with(with))
}

fn places() -> Result<(), Failed> {
    let table = [
        (None, "c1"),
        (Some(""), "c1"),
        (Some("a/b"), "a/b"),
        (Some("../../a/./b"), "a/b"),
        (Some("/a/../../b//c"), "b/c"),
        (Some("/libpod_parent/libpod-1"), "libpod_parent/libpod-1"),
    ];
    for (path, end) in table {
        let cgroup = place(path, "c1")?;
        check(ends(&cgroup, end), || format!("{path:?}: {:?}", cgroup.paths()))?;
        check(cgroup.paths().values().all(|dir| !dir.exists()), || "it is there".into())?;
        let outside = |dir: &PathBuf| !dir.starts_with("/sys/fs/cgroup");
        check(!cgroup.paths().values().any(outside), || format!("{:?}", cgroup.paths()))?;
    }
    let root = Hierarchy::probe()?.place(Some(Path::new("/..")), "c1", &Limits::default());
    check(root.is_err(), || "the root of all cgroups was taken".into())
}

/// A place of this process's own.
fn own(name: &str) -> Result<Scratch, Failed> {
    place(Some(&format!("{}-path/{name}", parent())), "").map(Scratch)
}

fn taken_over() -> Result<(), Failed> {
    let scratch = own("taken")?;
    for dir in scratch.paths().values() {
        fs::create_dir_all(dir.join("below"))?;
    }
    let limits = Limits { pids: Some(5), ..Limits::default() };
    scratch.provide(&limits)?;
    check(scratch.text("pids.max") == "5", || scratch.text("pids.max"))?;
    // It is the same one still.
    let kept = scratch.paths().values().all(|dir| dir.join("below").exists());
    check(kept, || "it was replaced".into())?;
    let mut process = Process::started("cgroup", &scratch)?;
    check(process.text()?.contains("/taken"), || "not in it".into())?;
    scratch.remove()?;
    check(scratch.paths().values().all(|dir| !dir.exists()), || "it is there".into())
}

fn in_use() -> Result<(), Failed> {
    let scratch = own("used")?;
    scratch.provide(&Limits::default())?;
    let _inside = Process::started("sleep", &scratch)?;
    let error = scratch.provide(&Limits::default()).err().ok_or("two in one")?;
    check(
        error.to_string().contains("container's cgroup is not empty: 1 process(es) found"),
        || error.to_string(),
    )?;
    check(scratch.populated()?, || "the living one was hurt".into())?;
    let frozen = own("frozen")?;
    frozen.provide(&Limits::default())?;
    frozen.freeze()?;
    let error = frozen.provide(&Limits::default()).err().ok_or("a frozen one was taken")?;
    check(error.to_string().contains("unexpectedly frozen"), || error.to_string())?;
    frozen.thaw()?;
    Ok(())
}

fn fails() -> Result<(), Failed> {
    let above = own("above")?;
    above.provide(&Limits::default())?;
    let path = format!("{}-path/above/x/y", parent());
    let scratch = place(Some(&path), "")?;
    let limits = Limits { cpuset_cpus: Some("nonsense".into()), ..Limits::default() };
    let error = scratch.provide(&limits).err().ok_or("nonsense was taken")?;
    check(error.errno == Some(Errno::EINVAL), || error.to_string())?;
    for dir in above.paths().values() {
        check(dir.exists() && !dir.join("x").exists(), || format!("{dir:?}"))?;
    }
    Ok(())
}

fn parents_stay() -> Result<(), Failed> {
    let scratch = place(Some(&format!("{}-path/stay/c1", parent())), "").map(Scratch)?;
    scratch.provide(&Limits { pids: Some(9), ..Limits::default() })?;
    scratch.remove()?;
    for dir in scratch.paths().values() {
        let above = dir.parent().ok_or("no parent")?;
        check(!dir.exists() && above.exists(), || format!("{dir:?}"))?;
    }
    scratch.remove_and_prune()?;
    Ok(())
}

/// Init has moved its processes into a child, and hands controllers on.
fn beside() -> Result<(), Failed> {
    let Some(scratch) = beside_v1("beside")? else { return Ok(()) };
    scratch.create(&Limits::default())?;
    let init = Process::started("sleep", &scratch)?;
    check(scratch.beside(init.pid())? == *scratch, || "it is still the same".into())?;
    let dir = scratch.paths().remove("").ok_or("no cgroup2")?;
    fs::create_dir(dir.join("init"))?;
    fs::write(dir.join("init/cgroup.procs"), init.pid().to_string())?;
    let all = fs::read_to_string(dir.join("cgroup.controllers"))?;
    let Some(controller) = all.split_whitespace().next() else { return Ok(()) };
    fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"))?;
    let other = Process::waiting("sleep")?;
    scratch.add_beside(other.pid(), init.pid())?;
    let found = scratch.beside(init.pid())?.paths().remove("").ok_or("no cgroup2")?;
    check(found == dir.join("init"), || format!("{found:?}"))?;
    let inside = fs::read_to_string(dir.join("init/cgroup.procs"))?;
    check(inside.lines().any(|pid| pid == other.pid().to_string()), || inside)
}

/// One that hands on `pids` may hold processes, says the kernel, but its children none.
fn processes_above() -> Result<(), Failed> {
    if !unified() {
        return Ok(());
    }
    let outer = Scratch::place("threads")?;
    outer.create(&Limits::default())?;
    let dir = outer.dir("");
    let all = fs::read_to_string(dir.join("cgroup.controllers"))?;
    if !all.split_whitespace().any(|name| name == "pids") {
        return Ok(());
    }
    let _inside = Process::started("sleep", &outer)?;
    fs::write(dir.join("cgroup.subtree_control"), "+pids")?;
    let inner = Hierarchy::probe()?.cgroup(format!("{}/threads", parent()), "inner")?;
    let error = inner.create(&Limits::default()).err().ok_or("it was made")?;
    check(error.hint.as_ref().is_some_and(|h| h.contains("may hold none")), || {
        format!("{error:?}")
    })?;
    check(!dir.join("inner").exists(), || "inner was left behind".into())
}

fn none_needed() -> Result<(), Failed> {
    let hierarchy = Hierarchy::probe()?;
    let limits = Limits { pids: Some(5), ..Limits::default() };
    if host().cgroups != dockster_tests::Cgroups::V2 {
        let none = hierarchy.place(None, "c1", &Limits::default())?;
        check(none.is_none(), || format!("{none:?}"))?;
        let error = hierarchy.place(None, "c1", &limits).err().ok_or("limits were taken")?;
        check(error.to_string().contains("no cgroup is delegated to us"), || error.to_string())?;
    }
    // A path that is given is a wish, and not to be ignored.
    let cgroup = hierarchy.place(Some(Path::new("/dockster-test-c1")), "c1", &Limits::default())?;
    let error = cgroup.ok_or("no place")?.provide(&Limits::default()).err().ok_or("made")?;
    check(error.hint.is_some(), || format!("{error:?}"))
}
