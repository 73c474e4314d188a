//! The limits that only a configuration can ask for, and the OOM killer's bell.

use std::time::Duration;

use ch03_cgroups::oom::Oom;
use ch03_cgroups::{DeviceWeight, Limits, More};
use dockster_tests::{Failed, Trial};

use crate::child::Process;
use crate::{Scratch, check, limiting, unified};

const MIB: i64 = 1 << 20;
const SOON: Duration = Duration::from_secs(20);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        limiting("more::values_reach_their_files", values),
        limiting("more::what_this_version_has_not_is_refused_by_name", refused),
        limiting("more::files_by_name", by_name),
        limiting("more::huge_pages", huge_pages),
        limiting("more::what_is_not_given_stays", completed),
        limiting("more::burst_and_quota_in_any_order", burst),
        limiting("more::idle_and_shares_in_any_order", idle),
        limiting("more::a_check_before_the_update", check_before),
        limiting("more::the_oom_killer_rings", oom),
    ]
}

fn more(more: More) -> Limits {
    Limits { more, ..Limits::default() }
}

/// Here a user's service manager may keep controllers to itself.
fn made(name: &str, limits: &Limits) -> Result<Option<Scratch>, Failed> {
    match Scratch::new(name, limits) {
        Err(error) if error.to_string().contains("is not available") => Ok(None),
        made => Ok(Some(made?)),
    }
}

fn values() -> Result<(), Failed> {
    let limits = match unified() {
        true => more(More { cpu_idle: Some(1), use_hierarchy: Some(true), ..More::default() }),
        false => more(More {
            swappiness: Some(30),
            kernel_tcp: Some(64 * MIB),
            disable_oom_killer: Some(true),
            use_hierarchy: Some(true),
            cpu_idle: Some(1),
            ..More::default()
        }),
    };
    let Some(scratch) = made("values", &limits)? else { return Ok(()) };
    let mut expected = vec![("cpu.idle", "1".to_owned())];
    if !unified() {
        expected.push(("memory.swappiness", "30".to_owned()));
        expected.push(("memory.kmem.tcp.limit_in_bytes", (64 * MIB).to_string()));
        check(scratch.text("memory.oom_control").starts_with("oom_kill_disable 1"), || {
            scratch.text("memory.oom_control")
        })?;
    }
    for (file, value) in expected {
        check(scratch.text(file) == value, || format!("{file}: {}", scratch.text(file)))?;
    }
    Ok(())
}

fn refused() -> Result<(), Failed> {
    let one = |weight, leaf_weight| vec![DeviceWeight { major: 8, minor: 0, weight, leaf_weight }];
    let none = More::default;
    let v1_only = [
        ("memory.swappiness", More { swappiness: Some(1), ..none() }),
        ("memory.kernel", More { kernel: Some(MIB), ..none() }),
        ("memory.kernelTCP", More { kernel_tcp: Some(MIB), ..none() }),
        ("memory.disableOOMKiller", More { disable_oom_killer: Some(true), ..none() }),
        ("memory.useHierarchy", More { use_hierarchy: Some(false), ..none() }),
        ("cpu.realtimeRuntime", More { realtime_runtime: Some(1000), ..none() }),
        ("cpu.realtimePeriod", More { realtime_period: Some(1000), ..none() }),
        ("blockIO.leafWeight", More { io_leaf_weight: Some(100), ..none() }),
        ("weightDevice.leafWeight", More { io_weights: one(None, Some(100)), ..none() }),
        ("network.classID", More { class_id: Some(1), ..none() }),
        ("network.priorities", More { priorities: vec![("lo".into(), 1)], ..none() }),
    ];
    let unified_only =
        [("unified", More { unified: [("pids.max".into(), "5".into())].into(), ..none() })];
    let refused: &[_] = if unified() { &v1_only } else { &unified_only };
    for (field, asked) in refused {
        let error = Scratch::new("refused", &more(asked.clone())).err().ok_or(*field)?;
        check(error.to_string().contains(field), || format!("{field}: {error}"))?;
    }
    if !unified() {
        let swappiness = more(More { swappiness: Some(101), ..none() });
        let error = Scratch::new("refused", &swappiness).err().ok_or("101 was taken")?;
        check(error.to_string().contains("0-100"), || error.to_string())?;
        let kernel = more(More { kernel: Some(MIB), ..none() });
        let error = Scratch::new("refused", &kernel).err().ok_or("kernel memory was taken")?;
        check(format!("{error:?}").contains("memory.kernel"), || format!("{error:?}"))?;
    }
    Ok(())
}

fn by_name() -> Result<(), Failed> {
    if !unified() {
        return Ok(());
    }
    let files = |file: &str, value: &str| {
        more(More { unified: [(file.into(), value.into())].into(), ..More::default() })
    };
    let scratch = Scratch::new("by-name", &files("memory.high", "64M"))?;
    check(scratch.text("memory.high") == (64 * MIB).to_string(), || scratch.text("memory.high"))?;
    scratch.update(&files("pids.max", "7"))?;
    check(scratch.text("pids.max") == "7", || scratch.text("pids.max"))?;
    let wrong = [
        ("../pids.max", "no slashes"),
        ("nonsense", "CONTROLLER.PARAMETER"),
        ("memory.nonsense", "ENOENT"),
        ("nonsense.max", "a controller that exists"),
    ];
    for (file, words) in wrong {
        let error = Scratch::new("wrong", &files(file, "1")).err().ok_or(file)?;
        check(error.to_string().contains(words), || format!("{file}: {error}"))?;
    }
    Ok(())
}

/// Also on a hybrid host, where only `cgroup2` has the controller.
fn huge_pages() -> Result<(), Failed> {
    let limits = more(More { hugepages: vec![("2MB".into(), 4 * MIB)], ..More::default() });
    let scratch = match Scratch::new("huge", &limits) {
        Err(e) if e.to_string().contains("available") || e.to_string().contains("not mounted") => {
            return Ok(());
        }
        made => made?,
    };
    let files = ["hugetlb.2MB.max", "hugetlb.2MB.limit_in_bytes"];
    let texts = scratch.paths().into_values().flat_map(|dir| files.map(|file| dir.join(file)));
    let found = texts.filter_map(|path| std::fs::read_to_string(path).ok()).next();
    check(found.as_deref().map(str::trim) == Some("4194304"), || format!("{found:?}"))?;
    let wrong = more(More { hugepages: vec![("3MB".into(), 4 * MIB)], ..More::default() });
    check(Scratch::new("wrong-huge", &wrong).is_err(), || "pages of 3 MB".into())
}

fn completed() -> Result<(), Failed> {
    let limits = Limits {
        memory: Some(64 * MIB),
        memory_swap: Some(64 * MIB),
        cpu_quota: Some(20_000),
        cpu_period: Some(50_000),
        ..Limits::default()
    };
    let Some(scratch) = made("completed", &limits)? else { return Ok(()) };
    // Swap is given beside the memory that it has; a period beside its quota, and the other way.
    match scratch.update(&Limits { memory_swap: Some(96 * MIB), ..Limits::default() }) {
        Err(error) if error.to_string().contains("ENOENT") => {} // it does not count swap
        done => {
            done?;
            let (file, value) = match unified() {
                true => ("memory.swap.max", 32 * MIB),
                false => ("memory.memsw.limit_in_bytes", 96 * MIB),
            };
            check(scratch.text(file) == value.to_string(), || scratch.text(file))?;
        }
    }
    scratch.update(&Limits { cpu_period: Some(100_000), ..Limits::default() })?;
    scratch.update(&Limits { cpu_quota: Some(30_000), ..Limits::default() })?;
    let now = match unified() {
        true => scratch.text("cpu.max"),
        false => {
            format!("{} {}", scratch.text("cpu.cfs_quota_us"), scratch.text("cpu.cfs_period_us"))
        }
    };
    check(now == "30000 100000", || now)?;
    scratch.update(&Limits { cpu_period: Some(50_000), ..Limits::default() })?;
    let quota = if unified() { scratch.text("cpu.max") } else { scratch.text("cpu.cfs_quota_us") };
    check(quota.starts_with("30000"), || quota)
}

fn burst() -> Result<(), Failed> {
    let limits = |quota: i64, burst: u64| Limits {
        cpu_quota: Some(quota),
        cpu_period: Some(100_000),
        more: More { cpu_burst: Some(burst), ..More::default() },
        ..Limits::default()
    };
    let Some(scratch) = made("burst", &limits(20_000, 10_000))? else { return Ok(()) };
    let file = if unified() { "cpu.max.burst" } else { "cpu.cfs_burst_us" };
    for (quota, burst) in [(50_000, 50_000), (10_000, 5_000), (10_000, 0)] {
        scratch.update(&limits(quota, burst))?;
        check(scratch.text(file) == burst.to_string(), || scratch.text(file))?;
    }
    Ok(())
}

fn idle() -> Result<(), Failed> {
    let limits = |idle| Limits {
        cpu_shares: Some(512),
        more: More { cpu_idle: Some(idle), ..More::default() },
        ..Limits::default()
    };
    let Some(scratch) = made("idle", &limits(1))? else { return Ok(()) };
    check(scratch.text("cpu.idle") == "1", || scratch.text("cpu.idle"))?;
    scratch.update(&limits(0))?;
    check(scratch.text("cpu.idle") == "0", || scratch.text("cpu.idle"))?;
    let (file, value) = if unified() { ("cpu.weight", "59") } else { ("cpu.shares", "512") };
    check(scratch.text(file) == value, || scratch.text(file))
}

fn check_before() -> Result<(), Failed> {
    let scratch = Scratch::new("before", &Limits::default())?;
    let mut process = Process::started("eat-and-stay", &scratch)?;
    check(process.line()? == "ate 50", || "not eaten".into())?;
    let limits = Limits {
        memory: Some(16 * MIB),
        more: More { check_before_update: true, ..More::default() },
        ..Limits::default()
    };
    let error = scratch.update(&limits).err().ok_or("it was taken")?;
    check(error.to_string().contains("rejecting memory limit 16777216 <= usage"), || {
        error.to_string()
    })?;
    check(scratch.events()?.oom_kills == 0, || "it was killed".into())
}

fn oom() -> Result<(), Failed> {
    let limits =
        Limits { memory: Some(32 * MIB), memory_swap: Some(32 * MIB), ..Limits::default() };
    let scratch = Scratch::new("oom", &limits)?;
    let _other = Process::started("sleep", &scratch)?;
    let mut watch = scratch.watch_oom()?;
    let nothing = watch.wait(Some(Duration::from_millis(20)))?;
    check(nothing == Oom::Nothing, || format!("{nothing:?}"))?;
    let mut process = Process::started("eat", &scratch)?;
    let event = watch.wait(Some(dockster_tests::scaled(SOON)))?;
    check(event == Oom::Killed, || format!("{event:?}"))?;
    process.wait()?;
    scratch.kill()?;
    scratch.remove()?;
    // What rang before it was looked at counts, too.
    let ends = |event: &Oom| *event == Oom::Gone;
    let mut events = (0..5).map(|_| watch.wait(Some(dockster_tests::scaled(SOON))));
    check(events.any(|event| event.as_ref().is_ok_and(ends)), || "it never ends".into())
}
