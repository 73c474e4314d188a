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

/// From here on the kernel means "no limit" (it rounds to whole pages).
const UNLIMITED: u64 = 1 << 62;

/// Where the version 1 hierarchies are mounted, by controllers (`cpu,cpuacct`).
#[derive(Debug, Clone)]
pub(crate) struct Mounts(BTreeMap<String, Mount>);

impl Mounts {
    /// The mounts of a host whose controllers are version 1; `None` on others.
    pub(crate) fn find(mountinfo: &str) -> Option<Self> {
        let mut all = BTreeMap::new();
        for mount in Mount::find(mountinfo, "cgroup") {
            let names: Vec<_> =
                mount.options.split(',').filter(|name| OURS.contains(name)).collect();
            if !names.is_empty() {
                // The shortest path came first.
                all.entry(names.join(",")).or_insert(mount);
            }
        }
        let limits = |names: &String| names.split(',').any(|name| LIMITING.contains(&name));
        all.keys().any(limits).then_some(Self(all))
    }

    /// One of them, where nothing else is mounted. There is one.
    pub(crate) fn first(&self) -> Option<&Mount> {
        self.0.values().next()
    }

    /// Whether we may make cgroups in all of them.
    pub(crate) fn writable(&self) -> bool {
        self.0.values().all(|mount| access(&mount.point, AccessFlags::W_OK).is_ok())
    }

    /// The directories of the cgroup at `path`.
    pub(crate) fn paths(&self, path: &Path) -> BTreeMap<String, PathBuf> {
        self.0.iter().map(|(names, mount)| (names.clone(), mount.point.join(path))).collect()
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

    fn dir(&self, controller: &str) -> Result<&Path> {
        let of = |names: &String| names.split(',').any(|name| name == controller);
        let found = self.dirs.iter().find(|(names, _)| of(names));
        found.map(|(_, dir)| dir.as_path()).ok_or_else(|| {
            Error::new(format!("the controller {controller} is not mounted"))
                .hint("leave that limit out, or mount the controller")
        })
    }

    /// Makes the directories.
    pub(crate) fn make(&self) -> Result<()> {
        for (names, dir) in &self.dirs {
            subtree::make_directory(dir)?;
            if names.split(',').any(|name| name == "cpuset") {
                fill_cpuset(dir)?;
            }
        }
        Ok(())
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
        if let Some(weight) = limits.io_weight {
            // The scheduler that obeys it has a file of its own.
            let bfq = self.dir("blkio")?.join("blkio.bfq.weight").exists();
            let file = if bfq { "blkio.bfq.weight" } else { "blkio.weight" };
            self.set(file, weight.to_string())?;
        }
        limits.io_max.iter().try_for_each(|device| self.limit_device(device))
    }

    fn set(&self, file: &'static str, value: String) -> Result<()> {
        self.set_if(file, value, false)
    }

    fn set_if(&self, file: &'static str, value: String, optional: bool) -> Result<()> {
        let controller = file.split('.').next().unwrap_or(file);
        let written = write(self.dir(controller)?, file, &value);
        written.or_else(|error| missing_or_refused(&Setting { file, value, optional }, error))
    }

    /// The limit for memory must never be above that for memory and swap, not
    /// for a moment either: which one is written first depends on the way.
    fn limit_memory(&self, limits: &Limits) -> Result<()> {
        if let Some(bytes) = limits.memory_reservation {
            self.set("memory.soft_limit_in_bytes", bytes.to_string())?;
        }
        let total = match (limits.memory, limits.swap()?) {
            (_, None) => None,
            (Some(memory), Some(swap)) if swap >= 0 && memory >= 0 => {
                Some(memory.saturating_add(swap))
            }
            _ => Some(-1),
        };
        let optional = limits.memory_swap.is_none() || limits.swap()?.is_none_or(|swap| swap <= 0);
        let set_total = || match total {
            Some(total) => self.set_if("memory.memsw.limit_in_bytes", total.to_string(), optional),
            None => Ok(()),
        };
        let Some(memory) = limits.memory else { return set_total() };
        let now = read_if_any(self.dir("memory")?, "memory.memsw.limit_in_bytes")?;
        let now = now.as_deref().and_then(number).unwrap_or(u64::MAX);
        let raising = memory < 0 || memory as u64 > now;
        if raising {
            set_total()?;
        }
        self.set("memory.limit_in_bytes", memory.to_string()).map_err(|error| {
            match error.errno {
                Some(Errno::EBUSY) => {
                    error.hint("more than that is in use and cannot be reclaimed")
                }
                _ => error,
            }
        })?;
        if raising { Ok(()) } else { set_total() }
    }

    fn limit_cpu(&self, limits: &Limits) -> Result<()> {
        if let Some(shares) = limits.cpu_shares {
            self.set("cpu.shares", shares.to_string())?;
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
