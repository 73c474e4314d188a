//! Every limit really limits, and says so.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use ch03_cgroups::{DeviceLimit, Limits};
use dockster_tests::{Failed, Trial, host, wait_until};
use nix::errno::Errno;

use crate::child::Process;
use crate::{Scratch, check, limiting, unified};

const SOON: Duration = Duration::from_secs(10);
const MIB: i64 = 1 << 20;

pub(crate) fn trials() -> Vec<Trial> {
    let disk = first_disk().is_some();
    vec![
        limiting("limits::memory_kills", memory),
        limiting("limits::memory_is_raised_and_lowered", memory_updates),
        limiting("limits::memory_below_what_is_in_use", memory_in_use),
        limiting("limits::swap_on_this_host", swap),
        limiting("limits::pids_stop_a_fork_bomb", pids),
        limiting("limits::cpu_quota_throttles", cpu),
        limiting("limits::cpu_shares_become_weight", shares),
        limiting("limits::cpuset_keeps_to_a_processor", cpuset),
        if disk {
            limiting("limits::disk_is_capped", io)
        } else {
            Trial::test("limits::disk_is_capped", io)
                .with_kind("needs a disk")
                .with_ignored_flag(true)
        },
        limiting("limits::impossible_ones_are_refused", impossible),
    ]
}

fn memory() -> Result<(), Failed> {
    // 64 MiB in all, of 200.
    let limits =
        Limits { memory: Some(32 * MIB), memory_swap: Some(64 * MIB), ..Limits::default() };
    let scratch = Scratch::new("memory", &limits)?;
    let mut process = Process::started("eat", &scratch)?;
    let status = process.wait()?;
    check(status.signal() == Some(9), || format!("it ended with {status}"))?;
    let (events, stats) = (scratch.events()?, scratch.stats()?);
    check(events.oom_kills >= 1 && events.memory_max >= 1, || format!("{events:?}"))?;
    check(stats.memory_limit == Some(32 << 20), || format!("{stats:?}"))?;
    check(stats.memory_peak.is_none_or(|peak| (16 << 20..=32 << 20).contains(&peak)), || {
        format!("{stats:?}")
    })?;

    let roomy = Scratch::new("roomy", &Limits { memory: Some(512 * MIB), ..Limits::default() })?;
    let mut process = Process::started("eat", &roomy)?;
    check(process.line()? == "ate 200", || "512m were not enough".into())?;
    check(roomy.events()?.oom_kills == 0, || format!("{:?}", roomy.events()))
}

fn memory_updates() -> Result<(), Failed> {
    let scratch = Scratch::new("updated", &Limits { memory: Some(64 * MIB), ..Limits::default() })?;
    for (memory, total) in
        [(256, None), (32, None), (48, Some(48)), (300, Some(400)), (16, Some(16)), (512, Some(-1))]
    {
        let limits = Limits {
            memory: Some(memory * MIB),
            memory_swap: total.map(|t: i64| if t < 0 { t } else { t * MIB }),
            ..Limits::default()
        };
        // A kernel that does not count swap says so for a limit on it alone.
        match scratch.update(&limits) {
            Err(e) if e.errno == Some(Errno::ENOENT) && total == Some(400) => {}
            done => done?,
        }
        let now = scratch.stats()?.memory_limit;
        check(now == Some((memory * MIB) as u64), || format!("{memory}m: {now:?}"))?;
    }
    scratch.update(&Limits { memory: Some(-1), ..Limits::default() })?;
    check(scratch.stats()?.memory_limit.is_none(), || format!("{:?}", scratch.stats()))
}

/// v2 makes room, by killing in the end; v1 refuses. Either way it is told.
fn memory_in_use() -> Result<(), Failed> {
    let scratch = Scratch::new("in-use-memory", &Limits::default())?;
    let mut process = Process::started("eat-and-stay", &scratch)?;
    check(process.line()? == "ate 50", || "not eaten".into())?;
    let limits =
        Limits { memory: Some(16 * MIB), memory_swap: Some(16 * MIB), ..Limits::default() };
    match scratch.update(&limits) {
        Err(error) => check(error.errno == Some(Errno::EBUSY) && error.hint.is_some(), || {
            format!("{error:?}")
        }),
        Ok(()) => {
            check(process.wait()?.signal() == Some(9), || "it lives".into())?;
            check(scratch.events()?.oom_kills == 1, || format!("{:?}", scratch.events()))
        }
    }
}

fn swap() -> Result<(), Failed> {
    let limits =
        Limits { memory: Some(64 * MIB), memory_swap: Some(96 * MIB), ..Limits::default() };
    let (file, value) = if unified() {
        ("memory.swap.max", 32 * MIB)
    } else {
        ("memory.memsw.limit_in_bytes", 96 * MIB)
    };
    let scratch = Scratch::place("swap")?;
    match scratch.create(&limits) {
        Ok(()) => check(scratch.text(file) == value.to_string(), || scratch.text(file)),
        Err(error) => check(error.errno == Some(Errno::ENOENT) && error.hint.is_some(), || {
            format!("{error:?}")
        }),
    }
}

fn pids() -> Result<(), Failed> {
    let scratch = Scratch::new("pids", &Limits { pids: Some(16), ..Limits::default() })?;
    let mut bomb = Process::started("bomb", &scratch)?;
    let refused = bomb.line()?;
    check(refused.starts_with("Some("), || format!("it was never refused: {refused}"))?;
    let (events, stats) = (scratch.events()?, scratch.stats()?);
    check(events.pids_max >= 1, || format!("{events:?}"))?;
    check(stats.pids_limit == Some(16) && (10..=16).contains(&stats.pids), || {
        format!("{stats:?}")
    })?;
    // And outside all is well.
    let outside = std::process::Command::new("true").status()?;
    check(outside.success(), || "the bomb hit us".into())
}

fn cpu() -> Result<(), Failed> {
    let limits = Limits { cpu_quota: Some(20_000), cpu_period: Some(100_000), ..Limits::default() };
    let scratch = Scratch::new("cpu", &limits)?;
    let _spinning = Process::started("spin", &scratch)?;
    wait_until("it was throttled in five periods", SOON, || {
        scratch
            .stats()
            .is_ok_and(|stats| stats.cpu_throttled_periods >= 5 && stats.cpu_throttled_usec > 0)
    })?;
    if host().is_slow() {
        return Ok(());
    }
    let (before, start) = (scratch.stats()?.cpu_usec, Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    let used = (scratch.stats()?.cpu_usec - before) as f64 / start.elapsed().as_micros() as f64;
    check(used < 0.30, || format!("{used:.2} of a processor instead of 0.20"))
}

fn shares() -> Result<(), Failed> {
    // The curve of runc and crun.
    for (shares, weight) in [(2, 1), (512, 59), (1024, 100), (2048, 174), (262_144, 10_000)] {
        let scratch = Scratch::new(
            &format!("shares-{shares}"),
            &Limits { cpu_shares: Some(shares), ..Limits::default() },
        )?;
        let (file, value) = if unified() { ("cpu.weight", weight) } else { ("cpu.shares", shares) };
        let text = scratch.text(file);
        check(text == value.to_string(), || format!("{shares} shares: {file} is {text}"))?;
    }
    Ok(())
}

fn cpuset() -> Result<(), Failed> {
    let limits = Limits {
        cpuset_cpus: Some("0".into()),
        cpuset_mems: Some("0".into()),
        ..Limits::default()
    };
    let scratch = match Scratch::new("cpuset", &limits) {
        // An ordinary user's service manager may keep it to itself.
        Err(error) if error.to_string().contains("is not available") => return Ok(()),
        made => made?,
    };
    let process = Process::started("sleep", &scratch)?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()))?;
    check(status.contains("Cpus_allowed_list:\t0\n"), || status)
}

/// The numbers of a disk, from `/sys/block`.
fn first_disk() -> Option<(u64, u64)> {
    let disks = std::fs::read_dir("/sys/block").ok()?.flatten();
    let number = |dir: std::fs::DirEntry| {
        let text = std::fs::read_to_string(dir.path().join("dev")).ok()?;
        let (major, minor) = text.trim().split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    disks.filter_map(number).next()
}

fn io() -> Result<(), Failed> {
    let (major, minor) = first_disk().ok_or("no disk")?;
    let cap = DeviceLimit {
        major,
        minor,
        read_bps: Some(1 << 20),
        write_iops: Some(50),
        ..Default::default()
    };
    let scratch = match Scratch::new("io", &Limits { io_max: vec![cap], ..Limits::default() }) {
        Err(error) if error.to_string().contains("is not available") => return Ok(()),
        made => made?,
    };
    if unified() {
        let text = scratch.text("io.max");
        return check(
            text.starts_with(&format!("{major}:{minor} rbps=1048576 wbps=max riops=max wiops=50")),
            || text,
        );
    }
    let text = scratch.text("blkio.throttle.read_bps_device");
    check(text == format!("{major}:{minor} 1048576"), || text)?;
    let text = scratch.text("blkio.throttle.write_iops_device");
    check(text == format!("{major}:{minor} 50"), || text)
}

fn impossible() -> Result<(), Failed> {
    let limits = Limits { memory_swap: Some(MIB), ..Limits::default() };
    let error = Scratch::new("impossible", &limits).err().ok_or("swap without memory")?;
    check(error.to_string().contains("wants a limit for memory"), || error.to_string())?;
    let limits = Limits { memory: Some(64 * MIB), memory_swap: Some(MIB), ..Limits::default() };
    check(Scratch::new("impossible", &limits).is_err(), || "less in all than memory".into())
}
