//! What a cgroup may use: which number goes into which file.
//!
//! There are two kinds of limits. A **cap** (`memory.max`, `pids.max`, `cpu.max`)
//! holds even on an idle machine. A **weight** (`cpu.weight`, `io.weight`) only
//! counts when there is not enough for everybody.

use std::borrow::Cow;
use std::path::Path;

use ch01_clone::{Error, Result};
use nix::errno::Errno;

use crate::interface::write;
use crate::more::More;
use crate::scales::{DeviceLimit, io_weight, other_weight, weight};

/// What all processes of a cgroup may use together. `None` leaves a limit as
/// it is, and a new cgroup has none; a negative number means: no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes. Above it the kernel reclaims, and then kills.
    pub memory: Option<i64>,
    /// Memory *and* swap together, in bytes, as docker and OCI count it.
    pub memory_swap: Option<i64>,
    /// Bytes that are not reclaimed as long as others have some to spare.
    pub memory_reservation: Option<i64>,
    /// Processor time in microseconds a period: 50000 of 100000 is half a core.
    pub cpu_quota: Option<i64>,
    /// The length of a period in microseconds; the kernel's own is 100000.
    pub cpu_period: Option<u64>,
    /// The share when processors are scarce, on docker's and OCI's scale: 2 to
    /// 262144, where everybody else has 1024.
    pub cpu_shares: Option<u64>,
    /// The processors to run on, as a list: `0-3,7`.
    pub cpuset_cpus: Option<String>,
    /// The memory nodes to allocate from, as a list: `0`.
    pub cpuset_mems: Option<String>,
    /// Processes and threads. This is what a fork bomb runs into.
    pub pids: Option<i64>,
    /// The share of a busy disk, on docker's scale: 10 to 1000.
    pub io_weight: Option<u16>,
    /// Caps for single disks.
    pub io_max: Vec<DeviceLimit>,
    /// What only an OCI configuration can ask for.
    pub more: More,
}

/// One value for one interface file.
pub(crate) struct Setting {
    pub(crate) file: Cow<'static, str>,
    pub(crate) value: String,
    /// Where the file is missing nothing is lost: nobody asked for this, or a
    /// kernel that cannot limit it does not have it either.
    pub(crate) optional: bool,
}

impl Setting {
    pub(crate) fn new(file: impl Into<Cow<'static, str>>, value: impl ToString) -> Self {
        Self { file: file.into(), value: value.to_string(), optional: false }
    }

    /// Whose file it is: `memory.max` belongs to `memory`.
    pub(crate) fn controller(&self) -> &str {
        self.file.split('.').next().unwrap_or(&self.file)
    }
}

impl Limits {
    /// The v2 files to write, in this order.
    pub(crate) fn settings(&self) -> Result<Vec<Setting>> {
        let mut all = Vec::new();
        let mut set = |file: &'static str, value| all.push(Setting::new(file, value));
        // ANCHOR: memory
        if let Some(bytes) = self.memory {
            set("memory.max", max(bytes));
        }
        // ANCHOR_END: memory
        if let Some(bytes) = self.memory_reservation {
            set("memory.low", max(bytes));
        }
        // ANCHOR: cpu
        if self.cpu_quota.is_some() || self.cpu_period.is_some() {
            let quota = max(self.cpu_quota.unwrap_or(-1));
            // Without a period the kernel keeps the one that it has.
            let period = self.cpu_period.map(|usec| format!(" {usec}"));
            set("cpu.max", quota + &period.unwrap_or_default());
        }
        // ANCHOR_END: cpu
        // ANCHOR: weight
        if let Some(shares) = self.cpu_shares {
            set("cpu.weight", weight(shares).to_string());
        }
        // ANCHOR_END: weight
        if let Some(cpus) = &self.cpuset_cpus {
            set("cpuset.cpus", cpus.clone());
        }
        if let Some(mems) = &self.cpuset_mems {
            set("cpuset.mems", mems.clone());
        }
        // ANCHOR: pids
        if let Some(count) = self.pids {
            set("pids.max", max(count));
        }
        // ANCHOR_END: pids
        if let Some(weight) = self.io_weight {
            set("io.weight", format!("default {}", io_weight(weight)));
        }
        for device in &self.io_max {
            set("io.max", device.line());
        }
        if let Some(swap) = self.swap()? {
            // No swap, any swap and docker's default ask for nothing that a
            // kernel without swap does not give.
            let optional = swap <= 0 || self.memory == Some(swap);
            all.push(Setting { optional, ..Setting::new("memory.swap.max", max(swap)) });
        }
        self.more.settings(self.io_weight, &mut all)?;
        Ok(all)
    }

    /// The controllers that these limits cannot do without: `memory.max`
    /// belongs to `memory`.
    pub(crate) fn controllers(&self) -> Result<Vec<String>> {
        let needed = self.settings()?.into_iter().filter(|setting| !setting.optional);
        let mut names: Vec<_> = needed.map(|setting| setting.controller().to_owned()).collect();
        // The files of `cgroup` itself are everywhere.
        names.retain(|name| name != "cgroup");
        names.dedup();
        Ok(names)
    }

    /// Swap alone, in bytes, as v2 counts it; negative: no limit.
    pub(crate) fn swap(&self) -> Result<Option<i64>> {
        // ANCHOR: swap
        match (self.memory, self.memory_swap) {
            (Some(..0), None) | (_, Some(..0)) => Ok(Some(-1)),
            (_, None) => Ok(None),
            (Some(memory), Some(total)) if (0..=total).contains(&memory) => {
                Ok(Some(total - memory))
            }
            _ => Err(Error::new(
                "a limit for memory and swap together wants a limit for memory, and not a larger one",
            )),
        }
        // ANCHOR_END: swap
    }

    /// Writes them into the files of a v2 cgroup.
    pub(crate) fn write_to(&self, dir: &Path) -> Result<()> {
        // ANCHOR: write
        for setting in self.settings()? {
            let written = write(dir, &setting.file, &setting.value);
            written.or_else(|error| missing_or_refused(dir, &setting, error))?;
        }
        // ANCHOR_END: write
        Ok(())
    }
}

/// What to make of a file that is not there or a value that is not taken.
pub(crate) fn missing_or_refused(dir: &Path, setting: &Setting, error: Error) -> Result<()> {
    match error.errno {
        Some(Errno::ENOENT) if setting.optional || other_weight(dir, setting) => Ok(()),
        Some(Errno::ENOENT) => {
            Err(error
                .hint(format!("this kernel cannot limit {}: leave that limit out", setting.file)))
        }
        Some(Errno::EINVAL | Errno::ERANGE | Errno::ENODEV) => {
            let Setting { file, value, .. } = setting;
            Err(error
                .hint(format!("the kernel does not take {value:?} for {file} on this machine")))
        }
        _ => Err(error),
    }
}

/// The kernel's word for "no limit".
pub(crate) fn max(number: i64) -> String {
    if number < 0 { "max".to_owned() } else { number.to_string() }
}
