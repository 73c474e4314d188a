//! Catalogue: not needed to understand the chapter.
//!
//! The cgroup of an OCI configuration: where it is (`linux.cgroupsPath`) and what it may
//! use (`linux.resources`), as chapter 3 sets it. config-linux.md, "Control groups".

use std::path::Path;

use ch01_clone::{Error, Result};
use ch03_cgroups::{
    Cgroup, DeviceKind, DeviceLimit, DeviceRule, DeviceWeight, Hierarchy, Limits, More,
};
use nix::unistd::geteuid;
use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxNamespaceType,
    LinuxResources, LinuxThrottleDevice, Spec,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What the cgroup of this container is called where its configuration names none. The
/// same id under another `--root` is another container's.
pub(crate) fn cgroup_name(root: &Path, id: &str) -> String {
    let digest = Sha256::digest(root.as_os_str().as_encoded_bytes());
    let hex: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}-{id}")
}

/// The cgroup that a configuration wants; nothing is made. With `systemd` it is a scope,
/// and `linux.cgroupsPath` is `slice:prefix:name`. Without a path it is `dockster-NAME`.
/// `None` where we may make none, and none is needed: no path is given, and nothing limited.
pub fn cgroup_of(spec: &Spec, name: &str, systemd: bool) -> Result<Option<Cgroup>> {
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref());
    let limits = limits(spec)?;
    let hierarchy = match Hierarchy::probe() {
        Err(_) if path.is_none() && !limits.asked() => return Ok(None),
        probed => probed?,
    };
    if systemd {
        let path = path.and_then(Path::to_str);
        let annotations = spec.annotations().clone().unwrap_or_default();
        let scope = hierarchy.scope(path, name, &annotations)?;
        return Ok(Some(owned(scope, spec)));
    }
    Ok(hierarchy
        .place(path, &format!("dockster-{name}"), &limits)?
        .map(|cgroup| owned(cgroup, spec)))
}

/// A container that sees its cgroup as the root of all, and can write there, owns it
/// (config-linux.md, "Cgroup ownership").
fn owned(cgroup: Cgroup, spec: &Spec) -> Cgroup {
    let Some(linux) = spec.linux() else { return cgroup };
    let mut namespaces = linux.namespaces().iter().flatten();
    let own_view =
        namespaces.any(|ns| ns.typ() == LinuxNamespaceType::Cgroup && ns.path().is_none());
    let writable = spec.mounts().iter().flatten().any(|mount| {
        let options = mount.options().as_deref().unwrap_or_default();
        mount.typ().as_deref() == Some("cgroup")
            && mount.destination() == Path::new("/sys/fs/cgroup")
            && !options.iter().any(|option| option == "ro")
    });
    let uid = spec.process().as_ref().map_or(0, |process| process.user().uid());
    let maps = linux.uid_mappings().as_deref().unwrap_or_default();
    let outside = maps.iter().find_map(|map| {
        let at = uid.checked_sub(map.container_id()).filter(|&at| at < map.size())?;
        map.host_id().checked_add(at)
    });
    match outside.or_else(|| maps.is_empty().then_some(uid)) {
        Some(uid) if own_view && writable && uid != geteuid().as_raw() => cgroup.owned_by(uid),
        _ => cgroup,
    }
}

/// What a new container may use: what `linux.resources` limits, and which devices. A
/// limit that would be ignored is refused.
pub fn limits(spec: &Spec) -> Result<Limits> {
    let linux = spec.linux().as_ref();
    let resources = linux.and_then(|linux| linux.resources().as_ref());
    let mut limits = resources.map_or(Ok(Limits::default()), limits_of)?;
    // Those that every container has, unless the configuration puts another one there.
    let own = linux.and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
    let replaced = |path: &str| own.iter().any(|device| device.path() == Path::new(path));
    let always = DeviceRule::always().into_iter();
    let always = always.filter(|(path, _)| !path.is_some_and(replaced)).map(|(_, rule)| rule);
    limits.more.devices.get_or_insert_default().extend(always);
    Ok(limits)
}

/// The limits of resources alone, as `update` gets them: what is not given stays.
pub fn limits_of(resources: &LinuxResources) -> Result<Limits> {
    let mut limits = Limits::default();
    if let Some(memory) = resources.memory() {
        limit_memory(&mut limits, memory);
    }
    if let Some(cpu) = resources.cpu() {
        limit_cpu(&mut limits, cpu);
    }
    // There is no telling 0 from a limit that is left out.
    limits.pids = resources.pids().as_ref().map(|pids| pids.limit()).filter(|&limit| limit != 0);
    if let Some(io) = resources.block_io() {
        limit_io(&mut limits, io);
    }
    limit_more(&mut limits.more, resources)?;
    Ok(limits)
}

/// As for runc, 0 is a limit that is left out.
fn given<T: Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

#[allow(deprecated)] // memory.kernel: who asks for it is told that it is gone
fn limit_memory(limits: &mut Limits, memory: &LinuxMemory) {
    limits.memory = given(memory.limit());
    limits.memory_swap = given(memory.swap());
    limits.memory_reservation = given(memory.reservation());
    limits.more.kernel = given(memory.kernel());
    limits.more.kernel_tcp = given(memory.kernel_tcp());
    // Some write -1, for none, as an unsigned number.
    limits.more.swappiness = memory.swappiness().filter(|&value| value != u64::MAX);
    limits.more.disable_oom_killer = memory.disable_oom_killer().filter(|&disable| disable);
    limits.more.use_hierarchy = memory.use_hierarchy();
    limits.more.check_before_update = memory.check_before_update() == Some(true);
}

fn limit_cpu(limits: &mut Limits, cpu: &LinuxCpu) {
    let list = |list: &Option<String>| list.clone().filter(|list| !list.is_empty());
    limits.cpu_quota = given(cpu.quota());
    limits.cpu_period = given(cpu.period());
    limits.cpu_shares = given(cpu.shares());
    limits.cpuset_cpus = list(cpu.cpus());
    limits.cpuset_mems = list(cpu.mems());
    limits.more.cpu_burst = cpu.burst();
    limits.more.cpu_idle = cpu.idle();
    limits.more.realtime_runtime = given(cpu.realtime_runtime());
    limits.more.realtime_period = given(cpu.realtime_period());
}

fn limit_io(limits: &mut Limits, io: &LinuxBlockIo) {
    limits.io_weight = given(io.weight());
    limits.io_max = device_limits(io);
    limits.more.io_leaf_weight = given(io.leaf_weight());
    let weights = io.weight_device().iter().flatten().map(|device| DeviceWeight {
        major: device.major() as u64,
        minor: device.minor() as u64,
        weight: given(device.weight()),
        leaf_weight: given(device.leaf_weight()),
    });
    limits.more.io_weights = weights.collect();
}

/// The specification lists one limit at a time; the kernel wants them by device.
fn device_limits(io: &LinuxBlockIo) -> Vec<DeviceLimit> {
    type Set = fn(&mut DeviceLimit, u64);
    let lists: [(&Option<Vec<LinuxThrottleDevice>>, Set); 4] = [
        (io.throttle_read_bps_device(), |limit, rate| limit.read_bps = Some(rate)),
        (io.throttle_write_bps_device(), |limit, rate| limit.write_bps = Some(rate)),
        (io.throttle_read_iops_device(), |limit, rate| limit.read_iops = Some(rate)),
        (io.throttle_write_iops_device(), |limit, rate| limit.write_iops = Some(rate)),
    ];
    let mut limits: Vec<DeviceLimit> = Vec::new();
    for (list, set) in lists {
        for device in list.iter().flatten() {
            let (major, minor) = (device.major() as u64, device.minor() as u64);
            let at = limits.iter().position(|l| (l.major, l.minor) == (major, minor));
            let at = at.unwrap_or_else(|| {
                limits.push(DeviceLimit { major, minor, ..DeviceLimit::default() });
                limits.len() - 1
            });
            set(&mut limits[at], device.rate());
        }
    }
    limits
}

fn limit_more(more: &mut More, resources: &LinuxResources) -> Result<()> {
    let hugepages = resources.hugepage_limits().iter().flatten();
    more.hugepages = hugepages.map(|limit| (limit.page_size().clone(), limit.limit())).collect();
    let rdma = resources.rdma().iter().flatten();
    more.rdma = rdma
        .map(|(device, limit)| (device.clone(), (limit.hca_handles(), limit.hca_objects())))
        .collect();
    if let Some(network) = resources.network() {
        more.class_id = given(network.class_id());
        let priorities = network.priorities().iter().flatten();
        more.priorities = priorities.map(|p| (p.name().clone(), p.priority())).collect();
    }
    let unified = resources.unified().iter().flatten();
    more.unified = unified.map(|(file, value)| (file.clone(), value.clone())).collect();
    let rules = resources.devices().iter().flatten().enumerate();
    let rules: Vec<_> = rules.map(|(at, rule)| device_rule(at, rule)).collect::<Result<_>>()?;
    more.devices = (!rules.is_empty()).then_some(rules);
    Ok(())
}

fn device_rule(at: usize, rule: &LinuxDeviceCgroup) -> Result<DeviceRule> {
    let kind = match rule.typ().unwrap_or(LinuxDeviceType::A) {
        LinuxDeviceType::A => DeviceKind::All,
        LinuxDeviceType::B => DeviceKind::Block,
        LinuxDeviceType::C => DeviceKind::Char,
        other => {
            let name = other.as_str();
            return Err(Error::new(format!("invalid cgroup device type {name:?}")));
        }
    };
    let access = rule.access().clone().unwrap_or_default();
    if access.is_empty() {
        return Err(Error::new(format!("device access at {at} field cannot be empty")));
    }
    let number = |number: Option<i64>| match number {
        None | Some(..0) => Ok(None),
        Some(number) => u32::try_from(number)
            .map(Some)
            .map_err(|_| Error::new(format!("invalid device number {number}"))),
    };
    let (major, minor) = (number(rule.major())?, number(rule.minor())?);
    Ok(DeviceRule { allow: rule.allow(), kind, major, minor, access })
}

/// The other way round: `linux.resources` of limits that a user asked for.
pub fn describe(limits: &Limits) -> Value {
    json!({
        "memory": {
            "limit": limits.memory,
            // As docker: as much swap as memory. The specification counts both together.
            "swap": limits.memory_swap.or(limits.memory.map(|bytes| bytes.saturating_mul(2))),
            "reservation": limits.memory_reservation,
        },
        "cpu": {
            "quota": limits.cpu_quota,
            "period": limits.cpu_period,
            "shares": limits.cpu_shares,
            "cpus": limits.cpuset_cpus,
            "mems": limits.cpuset_mems,
        },
        "pids": limits.pids.map(|limit| json!({ "limit": limit })),
        "blockIO": {
            "weight": limits.io_weight,
            "throttleReadBpsDevice": throttle(limits, |device| device.read_bps),
            "throttleWriteBpsDevice": throttle(limits, |device| device.write_bps),
            "throttleReadIOPSDevice": throttle(limits, |device| device.read_iops),
            "throttleWriteIOPSDevice": throttle(limits, |device| device.write_iops),
        },
    })
}

/// The specification lists one kind of limit at a time.
fn throttle(limits: &Limits, rate: fn(&DeviceLimit) -> Option<u64>) -> Vec<Value> {
    let limited = |device: &DeviceLimit| {
        let (major, minor) = (device.major, device.minor);
        rate(device).map(|rate| json!({ "major": major, "minor": minor, "rate": rate }))
    };
    limits.io_max.iter().filter_map(limited).collect()
}
