//! Catalogue: not needed to understand the chapter.
//!
//! What a process of a configuration is besides its credentials: limits of its
//! own, priorities, a mask. Most configurations say little of it.

use std::fs;

use ch01_clone::{Context, Error, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;
use oci_spec::runtime::{
    IOPriorityClass, LinuxPersonality, LinuxPersonalityDomain, LinuxSchedulerFlag,
    LinuxSchedulerPolicy, PosixRlimitType, Process, Scheduler,
};

use crate::sys;

/// The parent's part, while the child waits at its gate. An ordinary user may raise
/// the score of a process, never lower it (proc_pid_oom_score_adj(5)).
pub(crate) fn from_outside(process: &Process, pid: Pid) -> Result<()> {
    let Some(score) = process.oom_score_adj() else { return Ok(()) };
    let path = format!("/proc/{pid}/oom_score_adj");
    fs::write(&path, score.to_string()).call(|| format!("write({path}, {score})"))
}

/// The child's part, right before it changes its credentials.
pub(crate) fn apply(process: &Process, personality: Option<&LinuxPersonality>) -> Result<()> {
    if let Some(personality) = personality {
        let persona = match personality.domain() {
            LinuxPersonalityDomain::PerLinux => 0x0000,
            LinuxPersonalityDomain::PerLinux32 => 0x0008,
        };
        sys::personality(persona).call(|| format!("personality({persona:#x})"))?;
    }
    if let Some(priority) = process.io_priority() {
        let class = match priority.class() {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        };
        let (level, value) = (priority.priority(), (class << 13) | priority.priority() as i32);
        sys::ioprio_set(value).call(|| format!("ioprio_set(class {class}, {level})"))?;
    }
    process.scheduler().as_ref().map_or(Ok(()), schedule)?;
    for limit in process.rlimits().iter().flatten() {
        let (soft, hard) = (limit.soft(), limit.hard());
        let resource = resource(limit.typ());
        setrlimit(resource, soft, hard)
            .call(|| format!("setrlimit({resource:?}, {soft}, {hard})"))?;
    }
    if let Some(mask) = process.user().umask() {
        umask(Mode::from_bits_truncate(mask));
    }
    Ok(())
}

/// Lets this process run on these processors only: `0-3,7`. For `exec` alone.
pub(crate) fn run_on(cpus: &str) -> Result<()> {
    let set = processors(cpus)?;
    sched_setaffinity(Pid::from_raw(0), &set).call(|| format!("sched_setaffinity({cpus})"))
}

/// A list of processors.
pub(crate) fn processors(cpus: &str) -> Result<CpuSet> {
    let invalid = || Error::new(format!("process.execCPUAffinity: {cpus:?} is not a list of CPUs"));
    let mut set = CpuSet::new();
    for range in cpus.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let first: usize = first.parse().map_err(|_| invalid())?;
        let last: usize = last.parse().map_err(|_| invalid())?;
        (first..=last).try_for_each(|cpu| set.set(cpu)).map_err(|_| invalid())?;
    }
    Ok(set)
}

fn schedule(scheduler: &Scheduler) -> Result<()> {
    let policy = match scheduler.policy() {
        LinuxSchedulerPolicy::SchedOther => libc::SCHED_OTHER,
        LinuxSchedulerPolicy::SchedFifo => libc::SCHED_FIFO,
        LinuxSchedulerPolicy::SchedRr => libc::SCHED_RR,
        LinuxSchedulerPolicy::SchedBatch => libc::SCHED_BATCH,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => libc::SCHED_IDLE,
        LinuxSchedulerPolicy::SchedDeadline => libc::SCHED_DEADLINE,
    };
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    };
    let attributes = sys::SchedAttributes {
        policy: policy as u32,
        flags: scheduler.flags().iter().flatten().map(flag).fold(0, |all, flag| all | flag),
        nice: scheduler.nice().unwrap_or_default(),
        priority: scheduler.priority().unwrap_or_default() as u32,
        runtime: scheduler.runtime().unwrap_or_default(),
        deadline: scheduler.deadline().unwrap_or_default(),
        period: scheduler.period().unwrap_or_default(),
    };
    sys::sched_setattr(&attributes).call(|| format!("sched_setattr({:?})", scheduler.policy()))
}

fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => Resource::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => Resource::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => Resource::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => Resource::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => Resource::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => Resource::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => Resource::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => Resource::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => Resource::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => Resource::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => Resource::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => Resource::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => Resource::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => Resource::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => Resource::RLIMIT_RTTIME,
    }
}
