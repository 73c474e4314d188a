//! Catalogue: not needed to understand the chapter.
//!
//! What a cgroup tells about itself: usage, hits of a limit, pressure.

use std::path::Path;

use ch01_clone::{Error, Result};

use crate::interface::{number, read, read_if_any, value_of};

/// What all processes of a cgroup have used, those that have ended included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Memory in use, in bytes: also the page cache of files they have read.
    pub memory: u64,
    /// The part of it that can be dropped at once: file pages not used lately.
    /// What docker calls memory usage is `memory` less this.
    pub memory_inactive_file: u64,
    /// The most memory that was in use at one time; `None` before Linux 5.19.
    pub memory_peak: Option<u64>,
    /// The cap; `None`: none.
    pub memory_limit: Option<u64>,
    /// Swap in use, in bytes; `None` where swap is not counted.
    pub swap: Option<u64>,
    /// Processor time in microseconds.
    pub cpu_usec: u64,
    /// The part of it that programs spent themselves.
    pub cpu_user_usec: u64,
    /// The part of it that the kernel spent for them.
    pub cpu_system_usec: u64,
    /// Periods of `cpu.max` in which they wanted to run.
    pub cpu_periods: u64,
    /// Periods in which the quota was used up.
    pub cpu_throttled_periods: u64,
    /// How long they were kept from running, in microseconds.
    pub cpu_throttled_usec: u64,
    /// Processes and threads.
    pub pids: u64,
    /// The cap; `None`: none.
    pub pids_limit: Option<u64>,
    /// Bytes read from disks.
    pub io_read: u64,
    /// Bytes written to disks.
    pub io_written: u64,
}

impl Stats {
    /// From the files of a v2 cgroup. One whose controller was not handed down
    /// is missing, and counts as 0.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let file = |name| Ok::<_, Error>(read_if_any(dir, name)?.unwrap_or_default());
        let cpu = read(dir, "cpu.stat")?; // every cgroup has it
        let io = file("io.stat")?;
        Ok(Self {
            memory: number(&file("memory.current")?).unwrap_or(0),
            memory_inactive_file: value_of(&file("memory.stat")?, "inactive_file"),
            memory_peak: number(&file("memory.peak")?),
            memory_limit: number(&file("memory.max")?),
            swap: number(&file("memory.swap.current")?),
            cpu_usec: value_of(&cpu, "usage_usec"),
            cpu_user_usec: value_of(&cpu, "user_usec"),
            cpu_system_usec: value_of(&cpu, "system_usec"),
            cpu_periods: value_of(&cpu, "nr_periods"),
            cpu_throttled_periods: value_of(&cpu, "nr_throttled"),
            cpu_throttled_usec: value_of(&cpu, "throttled_usec"),
            pids: number(&file("pids.current")?).unwrap_or(0),
            pids_limit: number(&file("pids.max")?),
            io_read: sum(&io, "rbytes="),
            io_written: sum(&io, "wbytes="),
        })
    }
}

/// Adds up one field over all devices: `8:0 rbytes=4096 wbytes=0 …`.
fn sum(io_stat: &str, field: &str) -> u64 {
    io_stat.split_whitespace().filter_map(|word| number(word.strip_prefix(field)?)).sum()
}

/// How often a limit was hit, since the cgroup was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Events {
    /// Processes killed for want of memory.
    pub oom_kills: u64,
    /// How often memory was at its cap and something had to be reclaimed.
    pub memory_max: u64,
    /// How often fork(2) was refused because of the cap on processes.
    pub pids_max: u64,
}

impl Events {
    /// From the files of a v2 cgroup.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let memory = read_if_any(dir, "memory.events")?.unwrap_or_default();
        let pids = read_if_any(dir, "pids.events")?.unwrap_or_default();
        Ok(Self {
            oom_kills: value_of(&memory, "oom_kill"),
            memory_max: value_of(&memory, "max"),
            pids_max: value_of(&pids, "max"),
        })
    }
}

/// Pressure stall information: not how much is used, but how much it hurts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// Waiting for a processor.
    pub cpu: Stall,
    /// Waiting for memory: reclaim, swapping in.
    pub memory: Stall,
    /// Waiting for disks.
    pub io: Stall,
}

/// The share of time in which work stood still.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stall {
    /// Percent of the last ten seconds in which at least one process waited.
    pub some_avg10: f64,
    /// Microseconds in all in which at least one process waited.
    pub some_usec: u64,
    /// Percent of the last ten seconds in which all waited that had something to do.
    pub full_avg10: f64,
    /// Microseconds in all in which all waited that had something to do.
    pub full_usec: u64,
}

impl Pressure {
    /// From the files of a v2 cgroup, which has them without any controller;
    /// `None` where the kernel does not keep them.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>> {
        let file = |name| read_if_any(dir, name);
        let (cpu, memory, io) =
            (file("cpu.pressure")?, file("memory.pressure")?, file("io.pressure")?);
        Ok(cpu.zip(memory).zip(io).map(|((cpu, memory), io)| Self {
            cpu: Stall::parse(&cpu),
            memory: Stall::parse(&memory),
            io: Stall::parse(&io),
        }))
    }
}

impl Stall {
    /// ```text
    /// some avg10=1.25 avg60=0.40 avg300=0.10 total=812345
    /// full avg10=0.00 avg60=0.00 avg300=0.00 total=0
    /// ```
    fn parse(text: &str) -> Self {
        let field = |kind: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
            line.split_whitespace().find_map(|word| word.strip_prefix(name))
        };
        let avg10 = |kind| field(kind, "avg10=").and_then(|v| v.parse().ok()).unwrap_or(0.0);
        let total = |kind| field(kind, "total=").and_then(number).unwrap_or(0);
        Self {
            some_avg10: avg10("some"),
            some_usec: total("some"),
            full_avg10: avg10("full"),
            full_usec: total("full"),
        }
    }
}
