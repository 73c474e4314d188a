//! The limits of an OCI configuration, as chapter 3 sets them.

use ch01_clone::{Error, Result};
use ch03_cgroups::{DeviceLimit, Limits};
use oci_spec::runtime::{LinuxBlockIo, LinuxResources, LinuxThrottleDevice, Spec};

/// What `linux.resources` limits; a limit that would be ignored is refused.
pub fn limits(spec: &Spec) -> Result<Limits> {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    resources.map_or(Ok(Limits::default()), limits_of)
}

/// The cgroup of a container.
pub(crate) fn cgroup_of(
    _spec: &Spec,
    id: &str,
    _systemd: bool,
) -> Result<Option<ch03_cgroups::Cgroup>> {
    ch03_cgroups::Hierarchy::probe()?.cgroup("dockster-oci".to_owned(), id).map(Some)
}

/// The same of resources alone, as `update` gets them.
pub fn limits_of(resources: &LinuxResources) -> Result<Limits> {
    let mut limits = Limits::default();
    refuse(resources)?;
    if let Some(memory) = resources.memory() {
        limits.memory = memory.limit();
        limits.memory_swap = memory.swap();
        limits.memory_reservation = memory.reservation();
    }
    if let Some(cpu) = resources.cpu() {
        limits.cpu_quota = cpu.quota();
        limits.cpu_period = cpu.period();
        limits.cpu_shares = cpu.shares();
        limits.cpuset_cpus = cpu.cpus().clone();
        limits.cpuset_mems = cpu.mems().clone();
    }
    limits.pids = resources.pids().as_ref().map(|pids| pids.limit());
    if let Some(io) = resources.block_io() {
        limits.io_weight = io.weight();
        limits.io_max = device_limits(io);
    }
    Ok(limits)
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

fn refuse(resources: &LinuxResources) -> Result<()> {
    let asked = [
        ("devices", resources.devices().as_ref().is_some_and(|list| !list.is_empty())),
        (
            "hugepageLimits",
            resources.hugepage_limits().as_ref().is_some_and(|list| !list.is_empty()),
        ),
        ("network", resources.network().is_some()),
        ("rdma", resources.rdma().as_ref().is_some_and(|list| !list.is_empty())),
        ("unified", resources.unified().as_ref().is_some_and(|list| !list.is_empty())),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        Some((field, _)) => {
            Err(Error::new(format!("config.json: linux.resources.{field} is not supported yet")))
        }
        None => Ok(()),
    }
}
