//! Chapter 5: what a configuration asks of its cgroup, field by field, and what is told
//! about it afterwards.

#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use ch03_cgroups::{Cgroup, DeviceKind, Hierarchy, Kind, Limits};
use ch05_lifecycle::resources::cgroup_of;
use ch05_lifecycle::statistics::statistics;
use ch05_lifecycle::{limits, limits_of};
use dockster_tests::{Failed, Need, Trial, run, trial};
use oci_spec::runtime::{LinuxResources, Spec};
use serde_json::{Value, json};

fn main() {
    run(vec![
        Trial::test("fields_become_limits", fields),
        Trial::test("what_makes_no_sense_is_refused", nonsense),
        Trial::test("every_container_has_its_usual_devices", devices),
        trial("the_cgroup_is_where_it_is_wanted", &[Need::Limits], place),
        trial("values_reach_the_kernel", &[Need::Limits], values),
        trial("root_of_a_container_may_own_its_cgroup", &[Need::Root, Need::V2], owner),
        trial("statistics_have_the_shape_of_runcs", &[Need::Limits], shape),
    ])
}

fn resources(value: Value) -> Result<LinuxResources, Failed> {
    Ok(serde_json::from_value(value)?)
}

fn spec(linux: Value) -> Result<Spec, Failed> {
    Ok(serde_json::from_value(json!({ "ociVersion": "1.2.0", "linux": linux }))?)
}

fn parsed(value: Value) -> Result<Limits, Failed> {
    Ok(limits_of(&resources(value)?)?)
}

fn fields() -> Result<(), Failed> {
    let memory = parsed(json!({ "memory": {
        "limit": 67108864, "reservation": 1048576, "kernelTCP": 4096, "swappiness": 10,
        "disableOOMKiller": true, "useHierarchy": true, "checkBeforeUpdate": true,
    }}))?;
    assert_eq!((memory.memory, memory.memory_swap), (Some(64 << 20), None));
    assert_eq!(memory.memory_reservation, Some(1 << 20));
    assert_eq!((memory.more.kernel_tcp, memory.more.swappiness), (Some(4096), Some(10)));
    assert_eq!(memory.more.disable_oom_killer, Some(true));
    assert!(memory.more.use_hierarchy == Some(true) && memory.more.check_before_update);

    let cpu = parsed(json!({ "cpu": {
        "shares": 512, "quota": -1, "period": 100000, "burst": 0, "realtimeRuntime": 1000,
        "realtimePeriod": 2000, "cpus": "0-1", "mems": "0", "idle": 1,
    }}))?;
    assert_eq!(
        (cpu.cpu_shares, cpu.cpu_quota, cpu.cpu_period),
        (Some(512), Some(-1), Some(100000))
    );
    assert_eq!((cpu.more.cpu_burst, cpu.more.cpu_idle), (Some(0), Some(1)));
    assert_eq!((cpu.more.realtime_runtime, cpu.more.realtime_period), (Some(1000), Some(2000)));
    assert_eq!((cpu.cpuset_cpus.as_deref(), cpu.cpuset_mems.as_deref()), (Some("0-1"), Some("0")));

    let io = parsed(json!({ "blockIO": {
        "weight": 500, "leafWeight": 300,
        "weightDevice": [{ "major": 8, "minor": 0, "weight": 600, "leafWeight": 400 }],
        "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 600 }],
        "throttleWriteIOPSDevice": [{ "major": 8, "minor": 0, "rate": 300 }],
    }}))?;
    assert_eq!((io.io_weight, io.more.io_leaf_weight), (Some(500), Some(300)));
    assert_eq!(io.more.io_weights[0].leaf_weight, Some(400));
    assert_eq!((io.io_max[0].read_bps, io.io_max[0].write_iops), (Some(600), Some(300)));

    let rest = parsed(json!({
        "pids": { "limit": -1 },
        "hugepageLimits": [{ "pageSize": "2MB", "limit": 4194304 }],
        "network": { "classID": 1048577, "priorities": [{ "name": "eth0", "priority": 500 }] },
        "rdma": { "mlx5_1": { "hcaHandles": 3, "hcaObjects": 10000 } },
        "unified": { "memory.high": "64M" },
    }))?;
    assert_eq!(rest.pids, Some(-1));
    assert_eq!(rest.more.hugepages, [("2MB".to_owned(), 4 << 20)]);
    assert_eq!(rest.more.class_id, Some(0x100001));
    assert_eq!(rest.more.priorities, [("eth0".to_owned(), 500)]);
    assert_eq!(rest.more.rdma["mlx5_1"], (Some(3), Some(10000)));
    assert_eq!(rest.more.unified["memory.high"], "64M");

    // As for runc, 0 and what is empty are left out.
    let none = parsed(json!({
        "memory": { "limit": 0, "swap": 0 }, "cpu": { "quota": 0, "shares": 0, "cpus": "" },
        "pids": { "limit": 0 }, "blockIO": { "weight": 0 }, "network": {}, "devices": [],
    }))?;
    assert_eq!(none, Limits::default());
    Ok(())
}

fn nonsense() -> Result<(), Failed> {
    let wrong = [
        (json!({ "devices": [{ "allow": true }] }), "device access at 0 field cannot be empty"),
        (
            json!({ "devices": [{ "allow": true, "type": "p", "access": "r" }] }),
            "invalid cgroup device type \"p\"",
        ),
        (
            json!({ "devices": [{ "allow": true, "major": 4294967296u64, "access": "r" }] }),
            "invalid device number",
        ),
    ];
    for (value, says) in wrong {
        let error = limits_of(&resources(value)?).err().ok_or(says)?;
        assert!(error.to_string().contains(says), "{error}");
    }
    Ok(())
}

fn devices() -> Result<(), Failed> {
    let linux = json!({ "resources": { "devices": [{ "allow": false, "access": "rwm" }] } });
    let rules = limits(&spec(linux)?)?.more.devices.ok_or("no rules")?;
    assert!(!rules[0].allow && rules[0].kind == DeviceKind::All);
    assert_eq!(rules.len(), 12);
    // A device of one's own in its place takes the rule away.
    let device = json!({ "path": "/dev/null", "type": "c", "major": 1, "minor": 3 });
    let rules = limits(&spec(json!({ "devices": [device] }))?)?.more.devices.ok_or("no rules")?;
    assert!(rules.iter().all(|rule| (rule.major, rule.minor) != (Some(1), Some(3))));
    // And an update that says nothing about devices changes none.
    assert_eq!(parsed(json!({}))?.more.devices, None);
    assert!(!limits(&spec(json!({}))?)?.asked());
    Ok(())
}

/// Gone when the test ends.
struct Scratch(Cgroup);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.remove_and_prune();
    }
}

fn scratch(name: &str, resources: Value) -> Result<(Scratch, Limits), Failed> {
    let path = format!("dockster-test-{}/{name}", std::process::id());
    let spec = spec(json!({ "cgroupsPath": path, "resources": resources }))?;
    let cgroup = cgroup_of(&spec, "c1", false)?.ok_or("no place")?;
    Ok((Scratch(cgroup), limits(&spec)?))
}

fn place() -> Result<(), Failed> {
    let (cgroup, limits) = scratch("place", json!({}))?;
    assert!(cgroup.0.paths().values().all(|dir| dir.ends_with("place") && !dir.exists()));
    cgroup.0.provide(&limits)?;
    assert!(cgroup.0.paths().values().all(|dir| dir.exists()));
    let absent = cgroup_of(&spec(json!({}))?, "c1", false)?.ok_or("no place")?;
    assert!(absent.paths().values().all(|dir| dir.ends_with("dockster-c1")));
    let scope = json!({ "cgroupsPath": "a-b.slice:docker:1" });
    if dockster_tests::host().root {
        let scope = cgroup_of(&spec(scope)?, "c1", true)?.ok_or("no place")?;
        let ends = |dir: &PathBuf| dir.ends_with("a.slice/a-b.slice/docker-1.scope");
        assert!(scope.paths().values().all(ends));
    }
    Ok(())
}

/// The first file of these that one of its directories has.
fn text(cgroup: &Cgroup, files: &[&str]) -> Option<String> {
    let paths = cgroup.paths().into_values();
    let mut all = paths.flat_map(|dir| files.iter().map(move |file| dir.join(file)));
    all.find_map(|path| fs::read_to_string(path).ok()).map(|text| text.trim().to_owned())
}

fn values() -> Result<(), Failed> {
    let asked = json!({
        "memory": { "limit": 67108864, "reservation": 33554432 },
        "cpu": { "shares": 512, "quota": 50000, "period": 100000 },
        "pids": { "limit": 17 },
        "devices": [{ "allow": false, "access": "rwm" }],
    });
    let (cgroup, limits) = scratch("values", asked)?;
    cgroup.0.provide(&limits)?;
    let cgroup = Cgroup::from_paths(cgroup.0.paths())?;
    let found = |files: &[&str]| text(&cgroup, files).unwrap_or_default();
    assert_eq!(found(&["memory.max", "memory.limit_in_bytes"]), "67108864");
    assert_eq!(found(&["memory.low", "memory.soft_limit_in_bytes"]), "33554432");
    assert_eq!(found(&["pids.max"]), "17");
    let v2 = Hierarchy::probe()?.kind() == Kind::Unified;
    match v2 {
        true => {
            assert_eq!(found(&["cpu.weight"]), "59");
            assert_eq!(found(&["cpu.max"]), "50000 100000");
            assert_eq!(found(&["memory.swap.max"]).replace("max", ""), "");
        }
        false => {
            assert_eq!(found(&["cpu.shares"]), "512");
            assert_eq!(found(&["cpu.cfs_quota_us"]), "50000");
            let list = found(&["devices.list"]);
            assert!(list.contains("c 1:3 rwm") && !list.contains("a *:*"), "{list}");
        }
    }
    // An update sets what is given and nothing else, and takes no device away.
    cgroup.update(&parsed(json!({ "pids": { "limit": 18 } }))?)?;
    assert_eq!(found(&["pids.max"]), "18");
    assert_eq!(found(&["memory.max", "memory.limit_in_bytes"]), "67108864");
    assert!(v2 || found(&["devices.list"]).contains("c 1:3 rwm"));
    Ok(())
}

fn owner() -> Result<(), Failed> {
    let path = format!("dockster-test-{}/owner", std::process::id());
    let spec = |options: &[&str]| -> Result<Spec, Failed> {
        Ok(serde_json::from_value(json!({
            "ociVersion": "1.2.0",
            "mounts": [{
                "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                "options": options,
            }],
            "linux": {
                "cgroupsPath": path,
                "namespaces": [{ "type": "cgroup" }],
                "uidMappings": [{ "containerID": 0, "hostID": 100000, "size": 10 }],
            },
        }))?)
    };
    for (options, uid) in [(&["rw"][..], 100000), (&["ro"], 0)] {
        let spec = spec(options)?;
        let cgroup = Scratch(cgroup_of(&spec, "c1", false)?.ok_or("no place")?);
        cgroup.0.provide(&limits(&spec)?)?;
        let dir = cgroup.0.paths().remove("").ok_or("no cgroup2")?;
        assert_eq!(fs::metadata(&dir)?.uid(), uid);
        assert_eq!(fs::metadata(dir.join("cgroup.subtree_control"))?.uid(), uid);
        assert_eq!(fs::metadata(dir.join("memory.max"))?.uid(), 0);
    }
    Ok(())
}

fn shape() -> Result<(), Failed> {
    let asked = json!({ "memory": { "limit": 67108864 }, "pids": { "limit": 17 } });
    let (cgroup, limits) = scratch("shape", asked)?;
    cgroup.0.provide(&limits)?;
    let stats = statistics(&cgroup.0)?;
    assert_eq!(stats["memory"]["usage"]["limit"], 67108864, "{stats}");
    assert_eq!(stats["pids"]["limit"], 17, "{stats}");
    for path in [
        "/cpu/usage/kernel",
        "/cpu/usage/user",
        "/cpu/throttling",
        "/cpuset/cpu_exclusive",
        "/memory/usage/failcnt",
        "/memory/swap/limit",
        "/memory/kernel/limit",
        "/memory/kernelTCP/limit",
        "/memory/raw",
        "/blkio",
        "/hugetlb",
        "/intel_rdt",
    ] {
        assert!(stats.pointer(path).is_some(), "{path}: {stats}");
    }
    Ok(())
}
