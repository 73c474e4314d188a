//! Catalogue: not needed to understand the chapter.
//!
//! docker's options for limits, and what docker refuses.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use ch01_clone::error::Context;
use ch01_clone::{Error, Result};
use clap::Args;
use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::stat::{major, minor};
use nix::unistd::Pid;

use crate::limits::Limits;
use crate::scales::DeviceLimit;
use crate::sizes::{PERIOD, cpus, size, size_or_unlimited};

/// Options that limit what a container may use, named as docker names them.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Limits")]
pub struct LimitOptions {
    /// Memory, in bytes or as 64m, 1.5g
    #[arg(short = 'm', long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,
    /// Memory and swap together [default: twice the memory]
    #[arg(long, value_name = "SIZE", value_parser = size_or_unlimited, allow_hyphen_values = true)]
    pub memory_swap: Option<i64>,
    /// Memory that is left alone while others have some to spare
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory_reservation: Option<u64>,
    /// How many processors' time: 0.5 is half of one
    #[arg(long, value_name = "NUMBER", value_parser = cpus, conflicts_with_all = ["cpu_period", "cpu_quota"])]
    pub cpus: Option<i64>,
    /// The period of --cpu-quota, in microseconds
    #[arg(long, value_name = "USEC", value_parser = clap::value_parser!(u64).range(1000..=1_000_000))]
    pub cpu_period: Option<u64>,
    /// Processor time in a period, in microseconds; -1 for no limit
    #[arg(long, value_name = "USEC", allow_hyphen_values = true)]
    pub cpu_quota: Option<i64>,
    /// The share of scarce processors, where others have 1024
    #[arg(short = 'c', long, value_name = "SHARES")]
    pub cpu_shares: Option<u64>,
    /// The processors to run on: 0-3,7
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// The memory nodes to allocate from: 0
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// How many processes and threads; -1 for no limit
    #[arg(long, value_name = "NUMBER", visible_alias = "pids", allow_hyphen_values = true)]
    pub pids_limit: Option<i64>,
    /// The share of a busy disk, from 10 to 1000
    #[arg(long, value_name = "WEIGHT", value_parser = clap::value_parser!(u16).range(10..=1000))]
    pub blkio_weight: Option<u16>,
    /// Bytes a second from a disk: /dev/sda:1m
    #[arg(long, value_name = "DISK:SIZE")]
    pub device_read_bps: Vec<String>,
    /// Bytes a second to a disk
    #[arg(long, value_name = "DISK:SIZE")]
    pub device_write_bps: Vec<String>,
    /// Reads a second from a disk: /dev/sda:100
    #[arg(long, value_name = "DISK:NUMBER")]
    pub device_read_iops: Vec<String>,
    /// Writes a second to a disk
    #[arg(long, value_name = "DISK:NUMBER")]
    pub device_write_iops: Vec<String>,
}

/// docker's least: with less than this not even a runtime's child gets to execve.
const LEAST_MEMORY: u64 = 6 << 20;

impl LimitOptions {
    /// The limits asked for; what docker refuses is refused here, in a sentence.
    pub fn limits(&self) -> Result<Limits> {
        self.check_memory()?;
        self.check_cpu()?;
        let bytes = |bytes: Option<u64>| bytes.filter(|&b| b != 0).map(|b| b as i64);
        Ok(Limits {
            memory: bytes(self.memory),
            // As docker: as much swap as memory.
            memory_swap: self
                .memory_swap
                .filter(|&total| total != 0)
                .or(bytes(self.memory).map(|bytes| bytes.saturating_mul(2))),
            memory_reservation: bytes(self.memory_reservation),
            cpu_quota: self.cpus.or(self.cpu_quota).filter(|&quota| quota != 0),
            cpu_period: self.cpus.map(|_| PERIOD).or(self.cpu_period),
            cpu_shares: self.cpu_shares.filter(|&shares| shares != 0),
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            // docker's 0 means no limit too.
            pids: self.pids_limit.map(|count| if count == 0 { -1 } else { count }),
            io_weight: self.blkio_weight,
            io_max: self.devices()?,
            more: Default::default(),
        })
    }

    fn check_memory(&self) -> Result<()> {
        let refuse = |what: &str, hint: &str| Err(Error::new(what).hint(hint));
        let least = |bytes: Option<u64>| bytes.is_some_and(|b| (1..LEAST_MEMORY).contains(&b));
        let memory = self.memory.filter(|&b| b != 0);
        if least(self.memory) {
            return refuse(
                "a memory limit under 6m is too small to start anything",
                "64m is plenty for a shell",
            );
        }
        if least(self.memory_reservation) {
            return refuse(
                "a memory reservation under 6m is too small",
                "leave --memory-reservation out",
            );
        }
        if memory.is_some_and(|limit| self.memory_reservation.is_some_and(|r| r > limit)) {
            return refuse(
                "the memory reservation is larger than the memory limit",
                "reserve less, or raise --memory",
            );
        }
        match (memory, self.memory_swap) {
            (None, Some(total)) if total > 0 => refuse(
                "--memory-swap is memory and swap together, and wants --memory beside it",
                "add --memory",
            ),
            (Some(limit), Some(total)) if total > 0 && (total as u64) < limit => refuse(
                "--memory-swap is memory and swap together, and must not be less than --memory",
                "the same number means: no swap",
            ),
            _ => Ok(()),
        }
    }

    fn check_cpu(&self) -> Result<()> {
        let online = processors()?;
        if let Some(cpus) = self.cpus.filter(|&cpus| cpus as u64 > online as u64 * PERIOD) {
            return Err(Error::new(format!(
                "--cpus {} is more than this machine's {online} processors",
                cpus as f64 / PERIOD as f64
            ))
            .hint(format!("0.01 to {online} is possible")));
        }
        if self.cpu_quota.is_some_and(|quota| (1..1000).contains(&quota)) {
            return Err(Error::new(
                "a processor quota under 1000 microseconds is too small for the kernel",
            )
            .hint("--cpus 0.01 is the least"));
        }
        Ok(())
    }

    fn devices(&self) -> Result<Vec<DeviceLimit>> {
        let bytes = |text: &str| size(text);
        let count = |text: &str| {
            text.parse().map_err(|_| Error::new(format!("{text:?} is not a number a second")))
        };
        let mut all = Vec::new();
        for text in &self.device_read_bps {
            all.push(device(text, bytes, |limit, value| limit.read_bps = Some(value))?);
        }
        for text in &self.device_write_bps {
            all.push(device(text, bytes, |limit, value| limit.write_bps = Some(value))?);
        }
        for text in &self.device_read_iops {
            all.push(device(text, count, |limit, value| limit.read_iops = Some(value))?);
        }
        for text in &self.device_write_iops {
            all.push(device(text, count, |limit, value| limit.write_iops = Some(value))?);
        }
        Ok(all)
    }
}

/// `/dev/sda:1m` as a limit for the disk of that number.
fn device(
    text: &str,
    parse: impl Fn(&str) -> Result<u64>,
    set: impl Fn(&mut DeviceLimit, u64),
) -> Result<DeviceLimit> {
    let (path, value) = text.rsplit_once(':').ok_or_else(|| {
        Error::new(format!("{text:?} wants a disk and a number")).hint("as in /dev/sda:1m")
    })?;
    let found = std::fs::metadata(path).call(|| format!("stat({path:?})"))?;
    if !found.file_type().is_block_device() {
        return Err(Error::new(format!("{path} is not a disk")).hint("lsblk lists them"));
    }
    let mut limit = DeviceLimit {
        major: major(found.rdev()),
        minor: minor(found.rdev()),
        ..Default::default()
    };
    set(&mut limit, parse(value)?);
    Ok(limit)
}

/// The processors this process may run on, as docker counts them.
fn processors() -> Result<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).call(|| "sched_getaffinity")?;
    Ok((0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).count())
}
