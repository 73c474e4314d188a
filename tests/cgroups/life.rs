//! Made, entered, frozen, killed, removed.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use ch03_cgroups::{Cgroup, Hierarchy, Limits};
use dockster_tests::{Failed, Trial, wait_until};
use nix::errno::Errno;

use crate::child::Process;
use crate::{Scratch, check, limiting, parent, unified};

const SOON: Duration = Duration::from_secs(10);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        limiting("life::removed_with_its_parents", removed),
        limiting("life::removed_with_what_is_below", removed_below),
        limiting("life::a_failed_create_leaves_nothing", failed_create),
        limiting("life::leftovers_are_replaced_but_not_the_living", leftovers),
        limiting("life::in_use_is_not_removed", in_use),
        limiting("life::many_at_once_share_a_parent", many),
        limiting("life::cloned_into", cloned_into),
        limiting("life::frozen_stands_still", frozen),
        limiting("life::killed_with_the_whole_family", killed),
        limiting("life::killed_while_frozen", killed_frozen),
        limiting("life::pressure_or_not_on_this_host", pressure),
    ]
}

fn exist(cgroup: &Cgroup) -> usize {
    cgroup.paths().values().filter(|dir| dir.exists()).count()
}

fn removed() -> Result<(), Failed> {
    let outer = format!("{}-removed", parent());
    let scratch = Hierarchy::probe()?.cgroup(format!("{outer}/deeper"), "a").map(Scratch)?;
    check(exist(&scratch) == 0, || "it is there before it is made".into())?;
    scratch.create(&Limits::default())?;
    check(exist(&scratch) == scratch.paths().len(), || format!("{:?}", scratch.paths()))?;
    scratch.remove()?;
    check(exist(&scratch) == 0, || "it is still there".into())?;
    scratch.remove_and_prune()?; // once more is no error
    let top = scratch.dir("memory");
    let outer = top.ancestors().nth(2).ok_or("no parent")?;
    check(!outer.exists(), || format!("{outer:?} is still there"))
}

fn removed_below() -> Result<(), Failed> {
    let scratch = Scratch::new("below", &Limits::default())?;
    for dir in scratch.paths().values() {
        std::fs::create_dir_all(dir.join("one/two"))?;
    }
    scratch.remove_and_prune()?;
    check(exist(&scratch) == 0, || "it is still there".into())
}

fn failed_create() -> Result<(), Failed> {
    let outer = format!("{}-failed", parent());
    let scratch = Hierarchy::probe()?.cgroup(&outer, "a").map(Scratch)?;
    let limits =
        Limits { pids: Some(5), cpuset_cpus: Some("nonsense".into()), ..Limits::default() };
    let error = scratch.create(&limits).err().ok_or("nonsense was taken")?;
    check(error.errno == Some(Errno::EINVAL), || error.to_string())?;
    check(error.step == "limits", || error.to_string())?;
    check(error.hint.as_ref().is_some_and(|h| h.contains("cpuset.cpus")), || format!("{error:?}"))?;
    for dir in scratch.paths().values() {
        let outer = dir.parent().ok_or("no parent")?;
        check(!outer.exists(), || format!("{outer:?} is left behind"))?;
    }
    Ok(())
}

fn leftovers() -> Result<(), Failed> {
    let scratch = Scratch::new("twice", &Limits { pids: Some(5), ..Limits::default() })?;
    scratch.create(&Limits::default())?;
    check(scratch.stats()?.pids_limit.is_none(), || "the old limit is still there".into())?;
    let _alive = Process::started("sleep", &scratch)?;
    let error = scratch.create(&Limits::default()).err().ok_or("two in one")?;
    check(error.errno == Some(Errno::EEXIST) && error.hint.is_some(), || format!("{error:?}"))?;
    check(exist(&scratch) == scratch.paths().len(), || "the living one was hurt".into())
}

fn in_use() -> Result<(), Failed> {
    let scratch = Scratch::new("in-use", &Limits::default())?;
    let process = Process::started("sleep", &scratch)?;
    let start = Instant::now();
    let error = scratch.remove().err().ok_or("it was removed")?;
    check(error.to_string().contains("EBUSY"), || error.to_string())?;
    let pid = process.pid().to_string();
    check(error.hint.as_ref().is_some_and(|h| h.contains(&pid)), || format!("{error:?}"))?;
    check(start.elapsed() < SOON * 3, || format!("it took {:?}", start.elapsed()))?;
    check(scratch.populated()?, || "not populated".into())
}

/// Each removes the parent when it is the last one, while others come in.
fn many() -> Result<(), Failed> {
    let outer = format!("{}-many", parent());
    let hierarchy = Hierarchy::probe()?;
    let results: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let one = |i: usize| {
            let (hierarchy, outer) = (&hierarchy, &outer);
            scope.spawn(move || {
                for round in 0..10 {
                    let cgroup = hierarchy
                        .cgroup(outer, &format!("{i}-{round}"))
                        .map_err(|e| e.to_string())?;
                    let limits =
                        Limits { pids: Some(9), memory: Some(64 << 20), ..Limits::default() };
                    cgroup.create(&limits).map_err(|e| e.to_string())?;
                    cgroup.remove_and_prune().map_err(|e| e.to_string())?;
                }
                Ok(())
            })
        };
        let threads: Vec<_> = (0..8).map(one).collect();
        threads.into_iter().map(|t| t.join().unwrap_or(Err("panicked".into()))).collect()
    });
    results.into_iter().collect::<Result<Vec<_>, _>>()?;
    let dir = hierarchy.cgroup(&outer, "a")?;
    for dir in dir.paths().values() {
        let outer = dir.parent().ok_or("no parent")?;
        check(!outer.exists(), || format!("{outer:?} is left behind"))?;
    }
    Ok(())
}

fn cloned_into() -> Result<(), Failed> {
    let scratch = Scratch::new("born", &Limits::default())?;
    if scratch.0.dir()?.is_none() {
        return Ok(()); // version 1 only: there is nothing to be born into
    }
    let mut process = Process::waiting("born")?;
    let dir = scratch.paths().remove("").ok_or("no cgroup2")?;
    process.go(&format!("{}", dir.display()))?;
    let said = process.text()?;
    check(said.contains("/born"), || format!("it was born in {said}"))
}

fn frozen() -> Result<(), Failed> {
    let scratch = Scratch::new("frozen", &Limits::default())?;
    let _spinning = Process::started("spin", &scratch)?;
    let used = || scratch.stats().map_or(0, |stats| stats.cpu_usec);
    wait_until("it spins", SOON, || used() > 10_000)?;
    scratch.freeze()?;
    let before = used();
    std::thread::sleep(Duration::from_millis(100));
    check(used() - before < 5_000, || format!("frozen, it used {} us", used() - before))?;
    scratch.thaw()?;
    wait_until("it goes on", SOON, || used() > before + 20_000)
}

fn killed() -> Result<(), Failed> {
    let scratch = Scratch::new("killed", &Limits::default())?;
    let mut process = Process::started("family", &scratch)?;
    check(process.line()? == "ready", || "no family".into())?;
    wait_until("three generations are in it", SOON, || {
        scratch.procs().is_ok_and(|family| family.len() >= 3 && family.contains(&process.pid()))
    })?;
    check(scratch.populated()?, || "not populated".into())?;
    scratch.kill()?;
    check(process.wait()?.signal() == Some(9), || "not killed".into())?;
    wait_until("nobody is left", SOON, || scratch.populated() == Ok(false))?;
    check(scratch.procs()?.is_empty(), || format!("{:?}", scratch.procs()))?;
    scratch.remove()?;
    scratch.kill()?; // gone already: no error
    check(!scratch.populated()?, || "populated though gone".into())
}

fn killed_frozen() -> Result<(), Failed> {
    let scratch = Scratch::new("killed-frozen", &Limits::default())?;
    let mut process = Process::started("spin", &scratch)?;
    scratch.freeze()?;
    scratch.kill()?;
    check(process.wait()?.signal() == Some(9), || "not killed".into())?;
    scratch.remove()?;
    Ok(())
}

fn pressure() -> Result<(), Failed> {
    let scratch = Scratch::new(
        "pressure",
        &Limits { cpu_quota: Some(5_000), cpu_period: Some(100_000), ..Limits::default() },
    )?;
    let Some(first) = scratch.pressure()? else {
        return check(!unified() || !std::path::Path::new("/proc/pressure").exists(), || {
            "no pressure on v2".into()
        });
    };
    check(first.memory.full_usec == 0, || format!("{first:?}"))?;
    let _one = Process::started("spin", &scratch)?;
    let _two = Process::started("spin", &scratch)?;
    wait_until("two compete for a twentieth of a processor", SOON, || {
        scratch.pressure().is_ok_and(|p| p.is_some_and(|p| p.cpu.some_usec > 10_000))
    })
}
