//! `linux.cgroupsPath` and `linux.resources` of config.json: what the kernel was told, and
//! that it holds.

use std::fs;
use std::path::Path;

use dockster_tests::{Cgroups, Failed, Need, host};
use serde_json::json;

use crate::bundle::{Bundle, case, not_here};
use crate::fields::{Shown, shows};

const LIMITS: &[Need] = &[Need::Root, Need::Limits];
const V1: &[Need] = &[Need::Root, Need::Limits, Need::V1];
const V2: &[Need] = &[Need::Root, Need::Limits, Need::V2];

pub fn shown() -> Vec<Shown> {
    let no_real_time = (!Path::new("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists())
        .then_some("this kernel gives cgroups no share of real time");
    let no_disk = disk().is_none().then_some("there is no disk");
    vec![
        shows(&["linux.cgroupsPath"], case("cgroups::path", LIMITS, path)),
        shows(&[], case("cgroups::no_path", LIMITS, no_path)),
        shows(&[], case("cgroups::all_hierarchies", LIMITS, everywhere)),
        shows(
            &[
                "linux.resources.memory.limit",
                "linux.resources.memory.reservation",
                "linux.resources.memory.swap",
            ],
            case("cgroups::memory", LIMITS, memory),
        ),
        shows(&[], case("cgroups::memory_holds", LIMITS, memory_holds)),
        shows(&[], case("cgroups::unlimited", LIMITS, unlimited)),
        shows(
            &["linux.resources.memory.swappiness", "linux.resources.memory.disableOOMKiller"],
            case("cgroups::memory_of_version_1", V1, memory_v1),
        ),
        shows(
            &["linux.resources.memory.checkBeforeUpdate"],
            case("cgroups::check_before_update", V2, check),
        ),
        shows(
            &[
                "linux.resources.cpu.shares",
                "linux.resources.cpu.quota",
                "linux.resources.cpu.period",
            ],
            case("cgroups::cpu", LIMITS, cpu),
        ),
        shows(&["linux.resources.cpu.burst"], newer("cgroups::burst", LIMITS, burst)),
        shows(&["linux.resources.cpu.idle"], newer("cgroups::idle", LIMITS, idle)),
        shows(
            &["linux.resources.cpu.cpus", "linux.resources.cpu.mems"],
            case("cgroups::cpuset", LIMITS, cpuset),
        ),
        shows(
            &["linux.resources.cpu.realtimeRuntime", "linux.resources.cpu.realtimePeriod"],
            not_here(case("cgroups::real_time", V1, real_time), no_real_time),
        ),
        shows(&["linux.resources.pids.limit"], case("cgroups::pids", LIMITS, pids)),
        shows(
            &[
                "linux.resources.blockIO.weight",
                "linux.resources.blockIO.weightDevice[].major",
                "linux.resources.blockIO.weightDevice[].minor",
                "linux.resources.blockIO.weightDevice[].weight",
            ],
            not_here(case("cgroups::weight_of_disks", V2, weight), no_disk),
        ),
        shows(
            &[
                "linux.resources.blockIO.throttleReadBpsDevice[].major",
                "linux.resources.blockIO.throttleReadBpsDevice[].minor",
                "linux.resources.blockIO.throttleReadBpsDevice[].rate",
                "linux.resources.blockIO.throttleWriteBpsDevice[].major",
                "linux.resources.blockIO.throttleWriteBpsDevice[].minor",
                "linux.resources.blockIO.throttleWriteBpsDevice[].rate",
                "linux.resources.blockIO.throttleReadIOPSDevice[].major",
                "linux.resources.blockIO.throttleReadIOPSDevice[].minor",
                "linux.resources.blockIO.throttleReadIOPSDevice[].rate",
                "linux.resources.blockIO.throttleWriteIOPSDevice[].major",
                "linux.resources.blockIO.throttleWriteIOPSDevice[].minor",
                "linux.resources.blockIO.throttleWriteIOPSDevice[].rate",
            ],
            not_here(case("cgroups::rates_of_disks", LIMITS, throttle), no_disk),
        ),
        shows(
            &[
                "linux.resources.hugepageLimits[].pageSize",
                "linux.resources.hugepageLimits[].limit",
            ],
            case("cgroups::huge_pages", V2, huge_pages),
        ),
        shows(
            &["linux.resources.rdma.*.hcaHandles", "linux.resources.rdma.*.hcaObjects"],
            case("cgroups::rdma", V2, rdma),
        ),
        shows(&["linux.resources.unified.*"], case("cgroups::unified", V2, unified)),
        shows(&[], case("cgroups::unified_on_version_1", V1, unified_v1)),
        shows(
            &[
                "linux.resources.devices[].allow",
                "linux.resources.devices[].type",
                "linux.resources.devices[].major",
                "linux.resources.devices[].minor",
                "linux.resources.devices[].access",
            ],
            case("cgroups::devices", LIMITS, devices),
        ),
        shows(&[], case("cgroups::devices_by_default", LIMITS, devices_by_default)),
        shows(&[], case("cgroups::wrong_limits", LIMITS, wrong)),
        shows(&[], case("cgroups::in_the_cgroup_before_the_program", LIMITS, born_there)),
    ]
}

/// What runc and crun of 2023 do not have.
fn newer(
    name: &str,
    needs: &[Need],
    test: fn(&mut Bundle) -> Result<(), Failed>,
) -> dockster_tests::Trial {
    crate::bundle::ours(name, needs, test)
}

/// A whole disk: major and minor.
fn disk() -> Option<(u32, u32)> {
    let mut names: Vec<_> = fs::read_dir("/sys/block").ok()?.flatten().collect();
    names.sort_by_key(|entry| entry.file_name().to_string_lossy().starts_with("loop"));
    let text = fs::read_to_string(names.first()?.path().join("dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Starts one that stays.
fn stays(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.script("exec sleep 1000").start()
}

fn path(bundle: &mut Bundle) -> Result<(), Failed> {
    let id = bundle.id.clone();
    bundle.set("linux.cgroupsPath", format!("/{id}/deep/er"));
    stays(bundle)?;
    let own = bundle.cgroup("memory")?;
    assert!(own.ends_with(format!("{id}/deep/er")) && own.is_dir(), "{}", own.display());
    bundle.end()?;
    assert!(!own.exists(), "{} is left", own.display());
    // What was made above it is not the runtime's to remove (runc leaves it).
    for dir in all_dirs(&id) {
        let _ = fs::remove_dir(dir.join("deep"));
        let _ = fs::remove_dir(&dir);
    }
    // Relative: somewhere, and always there.
    bundle.set("linux.cgroupsPath", format!("{id}-r"));
    stays(bundle)?;
    let own = bundle.cgroup("memory")?;
    assert!(own.ends_with(format!("{id}-r")), "{}", own.display());
    bundle.end()?;
    bundle.set("linux.cgroupsPath", format!("/../../{id}"));
    match stays(bundle) {
        Ok(()) => assert!(bundle.cgroup("memory")?.starts_with("/sys/fs/cgroup")),
        Err(_) => assert!(crate::bundle::other().is_none()),
    }
    Ok(())
}

/// All directories of cgroups whose last name this is.
fn all_dirs(name: &str) -> Vec<std::path::PathBuf> {
    let tops = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let tops = tops.map(|entry| entry.path()).chain(["/sys/fs/cgroup".into()]);
    tops.map(|dir| dir.join(name)).filter(|dir| dir.is_dir()).collect()
}

fn no_path(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.unset("linux.cgroupsPath");
    stays(bundle)?;
    let own = bundle.cgroup("memory")?;
    // Ours is named after the directory of states, too.
    assert!(own.to_string_lossy().ends_with(&bundle.id), "{}", own.display());
    bundle.end()
}

fn everywhere(bundle: &mut Bundle) -> Result<(), Failed> {
    stays(bundle)?;
    let lines = bundle.proc("cgroup")?;
    let elsewhere: Vec<_> =
        lines.lines().filter(|line| !line.ends_with(&format!("/{}", bundle.id))).collect();
    // systemd's own hierarchy controls nothing. runc leaves the unified tree of a hybrid host alone; a v1 controller, never.
    let elsewhere: Vec<_> = elsewhere
        .into_iter()
        .filter(|line| !line.contains(":name="))
        .filter(|line| crate::bundle::other().is_none() || !line.starts_with("0::"))
        .collect();
    assert_eq!(elsewhere, Vec::<&str>::new(), "{lines}");
    Ok(())
}

const MIB: i64 = 1 << 20;

fn memory(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set(
        "linux.resources.memory",
        json!({"limit": 64 * MIB, "reservation": 32 * MIB, "swap": 96 * MIB}),
    );
    stays(bundle)?;
    assert_eq!(bundle.limit("memory/memory.limit_in_bytes", "memory.max")?, "67108864");
    assert_eq!(bundle.limit("memory/memory.soft_limit_in_bytes", "memory.low")?, "33554432");
    // Version 2 counts swap by itself.
    let swap = bundle.limit("memory/memory.memsw.limit_in_bytes", "memory.swap.max")?;
    assert_eq!(swap, if host().cgroups == Cgroups::V2 { "33554432" } else { "100663296" });
    Ok(())
}

fn memory_holds(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.resources.memory", json!({"limit": 32 * MIB, "swap": 32 * MIB}));
    let eater = "head -c 200m /dev/zero | tail -c 200m | wc -c; exit 5";
    let done = bundle.script(eater).run()?.done()?;
    assert!(!done.stdout.contains("209715200"), "{done:?}");
    bundle.set("linux.resources.memory", json!({"limit": 300 * MIB}));
    assert!(bundle.script(eater).run()?.code(5)?.stdout.contains("209715200"));
    Ok(())
}

fn unlimited(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set(
        "linux.resources",
        json!({
            "memory": {"limit": -1, "swap": -1}, "cpu": {"quota": -1}, "pids": {"limit": -1},
        }),
    );
    stays(bundle)?;
    let limit = bundle.limit("memory/memory.limit_in_bytes", "memory.max")?;
    assert!(limit == "max" || limit.len() > 15, "{limit}");
    assert_eq!(bundle.limit("pids/pids.max", "pids.max")?, "max");
    assert!(["-1", "max 100000"].contains(&&*bundle.limit("cpu/cpu.cfs_quota_us", "cpu.max")?));
    Ok(())
}

fn memory_v1(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.resources.memory", json!({"swappiness": 17, "disableOOMKiller": true}));
    stays(bundle)?;
    assert_eq!(bundle.limit("memory/memory.swappiness", "")?, "17");
    assert!(bundle.limit("memory/memory.oom_control", "")?.contains("oom_kill_disable 1"));
    Ok(())
}

fn check(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.resources.memory", json!({"limit": 200 * MIB}));
    bundle.ready("head -c 60m /dev/zero >/dev/shm/file")?;
    let update = json!({"memory": {"limit": 10 * MIB, "checkBeforeUpdate": true}}).to_string();
    let done = bundle.oci(["update", "--resources", "-", &bundle.id]).input(update).done()?;
    assert!(!done.status.success(), "{done:?}");
    assert_eq!(bundle.state()?["status"], "running");
    assert_eq!(bundle.limit("memory/", "memory.max")?, (200 * MIB).to_string());
    Ok(())
}

fn cpu(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.resources.cpu", json!({"shares": 512, "quota": 30000, "period": 120_000}));
    stays(bundle)?;
    if host().cgroups == Cgroups::V2 {
        assert_eq!(bundle.limit("cpu/", "cpu.max")?, "30000 120000");
        let weight: u32 = bundle.limit("cpu/", "cpu.weight")?.parse()?;
        // 512 of 262144 is about 20 of 10000; newer runtimes say 59.
        assert!([20, 59].contains(&weight), "{weight}");
    } else {
        assert_eq!(bundle.limit("cpu/cpu.cfs_quota_us", "")?, "30000");
        assert_eq!(bundle.limit("cpu/cpu.cfs_period_us", "")?, "120000");
        assert_eq!(bundle.limit("cpu/cpu.shares", "")?, "512");
    }
    Ok(())
}

fn burst(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.resources.cpu", json!({"quota": 50000, "period": 100_000, "burst": 20000}));
    stays(bundle)?;
    assert_eq!(bundle.limit("cpu/cpu.cfs_burst_us", "cpu.max.burst")?, "20000");
    Ok(())
}

fn idle(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.resources.cpu", json!({"idle": 1}));
    stays(bundle)?;
    assert_eq!(bundle.limit("cpu/cpu.idle", "cpu.idle")?, "1");
    Ok(())
}

fn cpuset(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.resources.cpu", json!({"cpus": "0", "mems": "0"}));
    let script = "grep -E '^(Cpus|Mems)_allowed_list' /proc/self/status; exec sleep 1000";
    bundle.script(script).start()?;
    bundle.wait_for("Mems_allowed_list:\t0\n")?;
    assert_eq!(bundle.output(), "Cpus_allowed_list:\t0\nMems_allowed_list:\t0\n");
    assert_eq!(bundle.limit("cpuset/cpuset.cpus", "cpuset.cpus")?, "0");
    assert_eq!(bundle.limit("cpuset/cpuset.mems", "cpuset.mems")?, "0");
    Ok(())
}

fn real_time(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle
        .set("linux.resources.cpu", json!({"realtimePeriod": 1_000_000, "realtimeRuntime": 5000}));
    stays(bundle)?;
    assert_eq!(bundle.limit("cpu/cpu.rt_runtime_us", "")?, "5000");
    assert_eq!(bundle.limit("cpu/cpu.rt_period_us", "")?, "1000000");
    Ok(())
}

fn pids(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.resources.pids", json!({"limit": 7}));
    bundle.script("for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; sleep 1000").create()?;
    assert_eq!(bundle.limit("pids/pids.max", "pids.max")?, "7");
    bundle.verb("start")?;
    dockster_tests::wait_until("a fork fails", crate::bundle::PATIENCE, || {
        // The shell says so, and ends.
        bundle.errors().to_lowercase().contains("fork")
    })
}

fn weight(bundle: &mut Bundle) -> Result<(), Failed> {
    let (major, minor) = disk().unwrap_or_default();
    bundle.set(
        "linux.resources.blockIO",
        json!({
            "weight": 300, "weightDevice": [{"major": major, "minor": minor, "weight": 400}],
        }),
    );
    // Only where the kernel has a scheduler that weighs are there such files.
    match stays(bundle) {
        Ok(()) => {
            let own = bundle.cgroup("")?;
            let of = |name: &str| fs::read_to_string(own.join(name)).unwrap_or_default();
            let all = format!("{}{}", of("io.bfq.weight"), of("io.weight"));
            assert!(all.contains("300") || all.contains("default"), "{all}");
        }
        Err(failed) => {
            let said = failed.message().unwrap_or("").to_owned();
            assert!(said.contains("weight"), "{said}");
        }
    }
    Ok(())
}

fn throttle(bundle: &mut Bundle) -> Result<(), Failed> {
    let (major, minor) = disk().unwrap_or_default();
    let rate = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    bundle.set(
        "linux.resources.blockIO",
        json!({
            "throttleReadBpsDevice": rate(1_000_001), "throttleWriteBpsDevice": rate(1_000_002),
            "throttleReadIOPSDevice": rate(103), "throttleWriteIOPSDevice": rate(104),
        }),
    );
    stays(bundle)?;
    if host().cgroups == Cgroups::V2 {
        let line = format!("{major}:{minor} rbps=1000001 wbps=1000002 riops=103 wiops=104");
        assert_eq!(bundle.limit("blkio/", "io.max")?, line);
        return Ok(());
    }
    let files = [
        ("read_bps", 1_000_001),
        ("write_bps", 1_000_002),
        ("read_iops", 103),
        ("write_iops", 104),
    ];
    for (name, rate) in files {
        let file = format!("blkio/blkio.throttle.{name}_device");
        assert_eq!(bundle.limit(&file, "")?, format!("{major}:{minor} {rate}"), "{name}");
    }
    Ok(())
}

fn huge_pages(bundle: &mut Bundle) -> Result<(), Failed> {
    let limit = json!([{"pageSize": "2MB", "limit": 4 * MIB}]);
    bundle.set("linux.resources.hugepageLimits", limit);
    stays(bundle)?;
    assert_eq!(bundle.limit("hugetlb/", "hugetlb.2MB.max")?, "4194304");
    Ok(())
}

fn rdma(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.resources.rdma", json!({"mlx5_9": {"hcaHandles": 3, "hcaObjects": 4}}));
    // There is no such device here, nor anywhere else where tests run.
    assert!(bundle.refuses("true")?.contains("rdma"));
    Ok(())
}

fn unified(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.resources.unified", json!({"memory.high": "50000000", "pids.max": "19"}));
    stays(bundle)?;
    assert_eq!(bundle.limit("memory/", "memory.high")?, "49999872");
    assert_eq!(bundle.limit("pids/", "pids.max")?, "19");
    bundle.end()?;
    bundle.set("linux.resources.unified", json!({"no.such": "1"}));
    let said = bundle.refuses("true")?;
    assert!(said.contains("no.such"), "{said}");
    bundle.set("linux.resources.unified", json!({"../x": "1"}));
    bundle.refuses("true").map(|_| ())
}

fn unified_v1(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.resources.unified", json!({"memory.high": "50000000"}));
    bundle.refuses("true").map(|_| ())
}

/// Nodes that it makes itself: what it may do with them is the list's to say.
const TRIES: &str = "try() { dd if=$1 of=/dev/null count=0 2>/dev/null && echo -n r; \
                     dd of=$1 count=0 if=/dev/null conv=notrunc 2>/dev/null && echo -n w; echo; }; \
                     mknod /k c 1 11 && mknod /m c 1 1 || exit 1; try /k; try /m; try /dev/null";

/// What these devices ask for besides.
fn raw(bundle: &mut Bundle) {
    let list = json!(["CAP_MKNOD", "CAP_SYSLOG", "CAP_SYS_RAWIO"]);
    bundle.set(
        "process.capabilities",
        json!({"bounding": list.clone(), "effective": list.clone(), "permitted": list}),
    );
}

fn devices(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set(
        "linux.resources.devices",
        json!([
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"},
            // In the listed order: given and taken away.
            {"allow": true, "type": "c", "major": 1, "minor": 1, "access": "rw"},
            {"allow": false, "type": "c", "major": 1, "minor": 1, "access": "rw"},
        ]),
    );
    raw(bundle);
    assert_eq!(bundle.says(TRIES)?, "r\n\nrw");
    bundle.set(
        "linux.resources.devices",
        json!([
            {"allow": false, "type": "a", "access": "rwm"},
            {"allow": true, "type": "c", "major": 1, "access": "rw"},
        ]),
    );
    let done =
        bundle.sh("rm -f /k /m; mknod /k c 1 11; dd if=/k of=/dev/null count=0 && echo all")?;
    done.says("all")?;
    bundle.set("linux.resources.devices", json!([{"allow": true, "type": "x", "access": "r"}]));
    bundle.refuses("true")?;
    bundle.set("linux.resources.devices", json!([{"allow": true, "type": "c", "access": "q"}]));
    if crate::bundle::other().is_none() {
        bundle.refuses("true")?;
    }
    Ok(())
}

/// The devices that each container has, and no other, with no list at all.
fn devices_by_default(bundle: &mut Bundle) -> Result<(), Failed> {
    raw(bundle);
    assert_eq!(bundle.says(TRIES)?, "\n\nrw");
    Ok(())
}

fn wrong(bundle: &mut Bundle) -> Result<(), Failed> {
    for (field, value) in [
        ("linux.resources.memory.limit", json!(4096)),
        ("linux.resources.cpu", json!({"period": 1, "quota": 1})),
        ("linux.resources.cpu.cpus", json!("1000")),
        ("linux.resources.cpu.cpus", json!("none")),
    ] {
        bundle.unset("linux.resources").set(field, value.clone());
        let done = bundle.script("true").run()?.done()?;
        if done.status.success() {
            return Err(done.failed(&format!("{field} {value} is not refused")));
        }
        bundle.nothing_left()?;
    }
    Ok(())
}

/// What its program starts with is in the cgroup already; nothing is outside of it.
fn born_there(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.resources.pids", json!({"limit": 50})).without_namespace("cgroup");
    let seen = bundle.says("cat /proc/self/cgroup")?;
    let pids = seen.lines().find(|line| line.contains(":pids:") || line.starts_with("0::"));
    assert!(pids.is_some_and(|line| line.ends_with(&bundle.id)), "{seen}");
    bundle.script("sleep 1000 & sleep 1000 & wait").start()?;
    dockster_tests::wait_until("all three are in it", crate::bundle::PATIENCE, || {
        bundle.limit("pids/cgroup.procs", "cgroup.procs").is_ok_and(|l| l.lines().count() == 3)
    })
}
