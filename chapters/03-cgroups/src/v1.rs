//! Catalogue: not needed to understand the chapter.
//!
//! Hosts with version 1 controllers: one hierarchy for each controller, so one
//! directory of a cgroup in each, and other files with other units and other
//! rules. Here is all of it. The rest of the crate knows no version 1.
//!
//! On a *hybrid* host a `cgroup2` without useful controllers is mounted beside:
//! there these directories limit and count, and the `cgroup2` one is for being born into,
//! freezing and killing. On a *legacy* host these have to do that, too.
//!
//! The kernel's Documentation/admin-guide/cgroup-v1.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ch01_clone::{Error, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{AccessFlags, Pid, access};

use crate::interface::{number, read, read_if_any, value_of, write};
use crate::limits::{Limits, Setting, max, missing_or_refused};
use crate::more::{DeviceWeight, More};
use crate::mounts::Mount;
use crate::scales::DeviceLimit;
use crate::stats::{Events, Stats};
use crate::subtree;
use crate::tree::{PATIENCE, all_of, procs, remove_tree, unless_gone};

/// The controllers that make a host one of version 1. Some hosts mount others
/// (`net_cls`) beside a version 2 that has all of these.
const LIMITING: [&str; 5] = ["memory", "cpu", "pids", "cpuset", "blkio"];

/// Those, and the ones that count and freeze.
const OURS: [&str; 8] =
    ["memory", "cpu", "cpuacct", "pids", "cpuset", "blkio", "freezer", "devices"];

/// What else may be mounted: controllers for rare limits, and a tree without any, in
/// which a service manager sorts processes (`name=systemd`).
const OTHERS: [&str; 6] = ["hugetlb", "rdma", "net_cls", "net_prio", "perf_event", "misc"];

/// From here on the kernel means "no limit" (it rounds to whole pages).
pub(crate) const UNLIMITED: u64 = 1 << 62;

/// Where the version 1 hierarchies are mounted, by controllers (`cpu,cpuacct`).
#[derive(Debug, Clone)]
pub(crate) struct Mounts {
    /// Those of which every cgroup has a directory.
    usual: BTreeMap<String, Mount>,
    /// Those of which only a container of an OCI runtime has one.
    others: BTreeMap<String, Mount>,
}

impl Mounts {
    /// The mounts of a host whose controllers are version 1; `None` on others.
    pub(crate) fn find(mountinfo: &str) -> Option<Self> {
        let (mut usual, mut others) = (BTreeMap::new(), BTreeMap::new());
        for mount in Mount::find(mountinfo, "cgroup") {
            let of = |ours: &dyn Fn(&str) -> bool| {
                let names = mount.options.split(',').filter(|name| ours(name));
                names.collect::<Vec<_>>().join(",")
            };
            let known = of(&|name| OURS.contains(&name));
            let other = of(&|name| OTHERS.contains(&name) || name.starts_with("name="));
            // The shortest path came first.
            match (known.is_empty(), other.is_empty()) {
                (false, _) => drop(usual.entry(known).or_insert(mount)),
                (true, false) => drop(others.entry(other).or_insert(mount)),
                (true, true) => {}
            }
        }
        let limits = |names: &String| names.split(',').any(|name| LIMITING.contains(&name));
        usual.keys().any(limits).then_some(Self { usual, others })
    }

    /// One of them, where nothing else is mounted. There is one.
    pub(crate) fn first(&self) -> Option<&Mount> {
        self.usual.values().next()
    }

    /// Whether we may make cgroups in all of them.
    pub(crate) fn writable(&self) -> bool {
        self.usual.values().all(|mount| access(&mount.point, AccessFlags::W_OK).is_ok())
    }

    /// The directories of the cgroup at `path`.
    pub(crate) fn paths(&self, path: &Path) -> BTreeMap<String, PathBuf> {
        self.usual.iter().map(|(names, mount)| (names.clone(), mount.point.join(path))).collect()
    }

    /// Those, and the ones in all other hierarchies: as far as they are in sight, and nothing
    /// is mounted over them.
    pub(crate) fn all_paths(&self, path: &Path) -> BTreeMap<String, PathBuf> {
        let others = self.others.iter().filter(|(_, mount)| mount.point.is_dir());
        let all = self.usual.iter().chain(others);
        all.map(|(names, mount)| (names.clone(), mount.point.join(path))).collect()
    }
}

/// A cgroup's directories in the version 1 hierarchies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cgroup {
    /// By controllers, `cpu,cpuacct` where two share a hierarchy.
    dirs: BTreeMap<String, PathBuf>,
    /// No `cgroup2` beside: these also freeze and kill.
    pub(crate) alone: bool,
}

impl Cgroup {
    pub(crate) fn from_paths(dirs: BTreeMap<String, PathBuf>, alone: bool) -> Option<Self> {
        (!dirs.is_empty()).then_some(Self { dirs, alone })
    }

    pub(crate) fn paths(&self) -> BTreeMap<String, PathBuf> {
        self.dirs.clone()
    }

    /// The directory that lists the processes when there is no `cgroup2`.
    pub(crate) fn freezer(&self) -> Option<PathBuf> {
        self.dir("freezer").ok().map(Path::to_owned)
    }

    pub(crate) fn dir(&self, controller: &str) -> Result<&Path> {
        let of = |names: &String| names.split(',').any(|name| name == controller);
        let found = self.dirs.iter().find(|(names, _)| of(names));
        found.map(|(_, dir)| dir.as_path()).ok_or_else(|| {
            Error::new(format!("the controller {controller} is not mounted"))
                .hint("leave that limit out, or mount the controller")
        })
    }

    /// Makes the directories.
    pub(crate) fn make(&self) -> Result<()> {
        self.dirs.values().try_for_each(|dir| subtree::make_directory(dir))?;
        self.prepare()
    }

    /// Has processes allowed in the directories, which are there.
    pub(crate) fn prepare(&self) -> Result<()> {
        self.dir("cpuset").map_or(Ok(()), fill_cpuset)
    }

    /// Moves a process into all of them.
    pub(crate) fn add(&self, pid: Pid) -> Result<()> {
        self.dirs.values().try_for_each(|dir| write(dir, "cgroup.procs", &pid.to_string()))
    }

    /// Removes all of them.
    pub(crate) fn remove(&self, deadline: Instant) -> Result<()> {
        all_of(self.dirs.values().map(|dir| remove_tree(dir, deadline)))
    }

    /// Writes the limits that are given.
    pub(crate) fn limit(&self, limits: &Limits) -> Result<()> {
        self.limit_memory(limits)?;
        self.limit_cpu(limits)?;
        let cpusets = [("cpuset.cpus", &limits.cpuset_cpus), ("cpuset.mems", &limits.cpuset_mems)];
        for (file, list) in cpusets {
            list.as_ref().map_or(Ok(()), |list| self.set(file, list.clone()))?;
        }
        if let Some(count) = limits.pids {
            self.set("pids.max", max(count))?;
        }
        self.limit_weights(limits)?;
        limits.io_max.iter().try_for_each(|device| self.limit_device(device))
    }

    /// Writes those that are rarely given. `unified` is its directory in the `cgroup2`
    /// beside: a controller that is not here may be there.
    pub(crate) fn limit_more(&self, more: &More, unified: Option<&PathBuf>) -> Result<()> {
        for setting in more.v1_settings()? {
            match (self.dir(setting.controller()), unified) {
                (Err(error), Some(dir)) => limit_beside(dir, more, setting.controller(), error)?,
                _ => self.write(&setting).map_err(explain)?,
            }
        }
        more.kernel.map_or(Ok(()), |bytes| self.check_kernel(bytes))
    }

    /// Newer kernels take the number and forget it.
    fn check_kernel(&self, bytes: i64) -> Result<()> {
        let now = number(&self.file("memory.kmem.limit_in_bytes")?);
        match now.is_some_and(|now| bytes < 0 || now >> 12 == bytes as u64 >> 12) {
            true => Ok(()),
            false => Err(Error::new(
                "linux.resources.memory.kernel is not supported by this kernel: since Linux 5.16 \
                 kernel memory is not limited alone",
            )),
        }
    }

    fn set(&self, file: &'static str, value: String) -> Result<()> {
        self.write(&Setting::new(file, value))
    }

    fn write(&self, setting: &Setting) -> Result<()> {
        let dir = self.dir(setting.controller())?;
        let written = write(dir, &setting.file, &setting.value);
        written.or_else(|error| missing_or_refused(dir, setting, error))
    }

    /// The limit for memory must never be above that for memory and swap, not
    /// for a moment either: which one is written first depends on the way.
    fn limit_memory(&self, limits: &Limits) -> Result<()> {
        if let Some(bytes) = limits.memory_reservation {
            self.set("memory.soft_limit_in_bytes", bytes.to_string())?;
        }
        // Refuses what cannot be, and knows when swap is no wish but a default.
        let swap = limits.swap()?;
        let total = match (limits.memory, swap) {
            (_, None) => None,
            (_, Some(..0)) => Some(-1),
            (memory, Some(swap)) => Some(memory.unwrap_or(0).saturating_add(swap)),
        };
        let optional = swap.is_none_or(|swap| swap <= 0 || limits.memory == Some(swap));
        let set_total = || match total {
            Some(total) => {
                let setting = Setting::new("memory.memsw.limit_in_bytes", total);
                self.write(&Setting { optional, ..setting })
            }
            None => Ok(()),
        };
        let Some(memory) = limits.memory else { return set_total() };
        let now = read_if_any(self.dir("memory")?, "memory.memsw.limit_in_bytes")?;
        let now = now.as_deref().and_then(number).unwrap_or(u64::MAX);
        let raising = memory < 0 || memory as u64 > now;
        if raising {
            set_total()?;
        }
        self.set("memory.limit_in_bytes", memory.to_string())
            .map_err(|error| self.explain_memory(error, memory))?;
        if raising { Ok(()) } else { set_total() }
    }

    fn explain_memory(&self, error: Error, memory: i64) -> Error {
        let now = |file| self.file(file).unwrap_or_default().trim().to_owned();
        match error.errno {
            Some(Errno::EBUSY) => {
                let (usage, peak) =
                    (now("memory.usage_in_bytes"), now("memory.max_usage_in_bytes"));
                let call = format!(
                    "unable to set memory limit to {memory} (current usage: {usage}, peak usage: {peak})"
                );
                Error { call, ..error }.hint("more than that is in use and cannot be reclaimed")
            }
            _ => error,
        }
    }

    fn limit_cpu(&self, limits: &Limits) -> Result<()> {
        if let Some(shares) = limits.cpu_shares {
            // The kernel would take the nearest one it knows.
            match shares {
                ..2 => return Err(Error::new("the minimum allowed cpu-shares is 2")),
                262_145.. => return Err(Error::new("the maximum allowed cpu-shares is 262144")),
                _ => self.set("cpu.shares", shares.to_string())?,
            }
        }
        let period = || {
            limits.cpu_period.map_or(Ok(()), |usec| self.set("cpu.cfs_period_us", usec.to_string()))
        };
        let quota = || {
            limits.cpu_quota.map_or(Ok(()), |usec| self.set("cpu.cfs_quota_us", usec.to_string()))
        };
        // Half way, a new period with the old quota can be more than the parent has.
        match period() {
            Err(Error { errno: Some(Errno::EINVAL), .. }) if limits.cpu_quota.is_some() => {
                quota()?;
                period()
            }
            done => done.and_then(|()| quota()),
        }
    }

    fn limit_weights(&self, limits: &Limits) -> Result<()> {
        let (leaf, devices) = (limits.more.io_leaf_weight, &limits.more.io_weights);
        if limits.io_weight.is_none() && leaf.is_none() && devices.is_empty() {
            return Ok(());
        }
        // The scheduler that obeys weights has files of its own.
        let bfq = self.dir("blkio")?.join("blkio.bfq.weight").exists();
        let (all, each) = match bfq {
            true => ("blkio.bfq.weight", "blkio.bfq.weight_device"),
            false => ("blkio.weight", "blkio.weight_device"),
        };
        let mut values = vec![
            (all, limits.io_weight.map(|weight| weight.to_string())),
            ("blkio.leaf_weight", leaf.map(|weight| weight.to_string())),
        ];
        for DeviceWeight { major, minor, weight, leaf_weight } in devices {
            let line = |weight: &Option<u16>| weight.map(|w| format!("{major}:{minor} {w}"));
            values.push((each, line(weight)));
            values.push(("blkio.leaf_weight_device", line(leaf_weight)));
        }
        let mut given = values.into_iter().filter_map(|(file, value)| value.map(|v| (file, v)));
        given.try_for_each(|(file, value)| self.set(file, value))
    }

    fn limit_device(&self, device: &DeviceLimit) -> Result<()> {
        let DeviceLimit { major, minor, read_bps, write_bps, read_iops, write_iops } = device;
        let files = [
            ("blkio.throttle.read_bps_device", read_bps),
            ("blkio.throttle.write_bps_device", write_bps),
            ("blkio.throttle.read_iops_device", read_iops),
            ("blkio.throttle.write_iops_device", write_iops),
        ];
        for (file, value) in files {
            if let Some(value) = value {
                self.set(file, format!("{major}:{minor} {value}"))?;
            }
        }
        Ok(())
    }

    /// Stops all processes, and waits until they stand still.
    pub(crate) fn freeze(&self) -> Result<()> {
        let dir = self.dir("freezer")?;
        let deadline = Instant::now() + PATIENCE;
        // A process that was forked meanwhile may have escaped: until the
        // kernel says FROZEN, it is asked again.
        loop {
            write(dir, "freezer.state", "FROZEN")?;
            if read(dir, "freezer.state")?.trim() == "FROZEN" {
                return Ok(());
            }
            if Instant::now() > deadline {
                self.thaw()?;
                return Err(Error::new(format!(
                    "{dir:?} did not freeze within {} s",
                    PATIENCE.as_secs()
                )));
            }
            sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn thaw(&self) -> Result<()> {
        write(self.dir("freezer")?, "freezer.state", "THAWED")
    }

    pub(crate) fn frozen(&self) -> Result<bool> {
        Ok(read(self.dir("freezer")?, "freezer.state")?.trim() != "THAWED")
    }

    /// SIGKILL to all, frozen so that none can fork its way out, until none is left.
    pub(crate) fn kill(&self) -> Result<()> {
        let dir = self.dir("freezer")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let pids = procs(dir)?;
            if pids.is_empty() {
                return Ok(());
            }
            // If it does not freeze, the signals go out all the same.
            let _ = unless_gone(write(dir, "freezer.state", "FROZEN"));
            for pid in procs(dir)? {
                match kill(pid, Signal::SIGKILL) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(errno) => return Err(Error::os(format!("kill({pid}, SIGKILL)"), errno)),
                }
            }
            unless_gone(self.thaw())?;
            if Instant::now() > deadline {
                return Err(Error::new(format!("processes in {dir:?} do not die: {pids:?}")));
            }
            sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn stats(&self) -> Result<Stats> {
        let file = |name: &str| self.file(name);
        let count = |name: &str| Ok::<_, Error>(number(&self.file(name)?));
        let limit = |name: &str| Ok::<_, Error>(count(name)?.filter(|&limit| limit < UNLIMITED));
        let cpu = file("cpu.stat")?;
        let memory = count("memory.usage_in_bytes")?.unwrap_or(0);
        let io = self.first_of([
            "blkio.bfq.io_service_bytes_recursive",
            "blkio.throttle.io_service_bytes_recursive",
        ])?;
        Ok(Stats {
            memory,
            memory_inactive_file: value_of(&file("memory.stat")?, "total_inactive_file"),
            memory_peak: count("memory.max_usage_in_bytes")?,
            memory_limit: limit("memory.limit_in_bytes")?,
            swap: count("memory.memsw.usage_in_bytes")?.map(|both| both.saturating_sub(memory)),
            cpu_usec: count("cpuacct.usage")?.unwrap_or(0) / 1000,
            cpu_user_usec: count("cpuacct.usage_user")?.unwrap_or(0) / 1000,
            cpu_system_usec: count("cpuacct.usage_sys")?.unwrap_or(0) / 1000,
            cpu_periods: value_of(&cpu, "nr_periods"),
            cpu_throttled_periods: value_of(&cpu, "nr_throttled"),
            cpu_throttled_usec: value_of(&cpu, "throttled_time") / 1000,
            pids: count("pids.current")?.unwrap_or(0),
            pids_limit: count("pids.max")?,
            io_read: io_sum(&io, "Read"),
            io_written: io_sum(&io, "Write"),
        })
    }

    pub(crate) fn events(&self) -> Result<Events> {
        Ok(Events {
            oom_kills: value_of(&self.file("memory.oom_control")?, "oom_kill"),
            memory_max: number(&self.file("memory.failcnt")?).unwrap_or(0),
            pids_max: value_of(&self.file("pids.events")?, "max"),
        })
    }

    /// A file's text; empty where the controller or the file is missing.
    fn file(&self, name: &str) -> Result<String> {
        let controller = name.split('.').next().unwrap_or(name);
        match self.dir(controller) {
            Ok(dir) => Ok(read_if_any(dir, name)?.unwrap_or_default()),
            Err(_) => Ok(String::new()),
        }
    }

    fn first_of(&self, names: [&str; 2]) -> Result<String> {
        let first = self.file(names[0])?;
        if first.lines().count() > 1 { Ok(first) } else { self.file(names[1]) }
    }
}

/// A limit that version 1 has no hierarchy for, in the `cgroup2` beside, if that has it.
fn limit_beside(dir: &Path, more: &More, controller: &str, missing: Error) -> Result<()> {
    let mut all = Vec::new();
    More { hugepages: more.hugepages.clone(), rdma: more.rdma.clone(), ..More::default() }
        .settings(None, &mut all)?;
    all.retain(|setting| setting.controller() == controller);
    if all.is_empty() || subtree::hand_on_one(dir, controller).is_err() {
        return Err(missing);
    }
    all.iter().try_for_each(|setting| {
        let written = write(dir, &setting.file, &setting.value);
        written.or_else(|error| missing_or_refused(dir, setting, error))
    })
}

/// What a refusal means where the kernel's word alone does not say it.
fn explain(error: Error) -> Error {
    match error.errno {
        Some(Errno::EOPNOTSUPP) if error.call.contains("memory.kmem") => {
            error.hint("linux.resources.memory.kernel: since Linux 5.16 it is not limited alone")
        }
        Some(Errno::EINVAL) if error.call.contains("cpu.rt_") => {
            error.hint("the cgroup above has no such share of real time to give")
        }
        _ => error,
    }
}

/// A new cpuset allows nothing, and nobody may enter: copy the parent's, whose
/// own may have to be copied first.
fn fill_cpuset(dir: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        // Above the top of the hierarchy there is no such file.
        let Some(own) = read_if_any(dir, file)? else { return Ok(()) };
        if own.trim().is_empty() {
            let parent = dir.parent().unwrap_or(dir);
            fill_cpuset(parent)?;
            write(dir, file, read(parent, file)?.trim())?;
        }
    }
    Ok(())
}

/// Adds up over all devices: `8:0 Read 4096`.
fn io_sum(text: &str, kind: &str) -> u64 {
    let words = |line: &str| {
        let mut words = line.split(' ').skip(1);
        (words.next() == Some(kind)).then(|| words.next().and_then(number)).flatten()
    };
    text.lines().filter_map(words).sum()
}
