//! Catalogue: not needed to understand the chapter.
//!
//! `update`: other limits for a container that runs.

use std::fs;
use std::io::Read;

use ch01_clone::{Context, Error, Result};
use ch03_cgroups::sizes::size_or_unlimited;
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources};

use super::Cli;
use super::args::Args;

pub(super) fn update(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    let runtime = cli.runtime()?;
    let container = runtime.open(args.id()?)?;
    // The specification has no such resource, so neither road would honour them.
    for (option, what) in [
        ("l3-cache-schema", "Intel RDT/CAT: l3 cache"),
        ("mem-bw-schema", "Intel RDT/MBA: memory bandwidth"),
    ] {
        if args.value(option).is_some() {
            return Err(Error::new(format!("{what} schema is not enabled")));
        }
    }
    container.update(&match args.value("resources") {
        Some(file) if file == "-" => {
            let mut json = Vec::new();
            std::io::stdin().read_to_end(&mut json).call(|| "read(stdin)")?;
            from_json(&json)?
        }
        Some(file) => from_json(&fs::read(file).call(|| format!("open {file:?}"))?)?,
        None => from_options(args)?,
    })?;
    Ok(0)
}

fn from_json(json: &[u8]) -> Result<LinuxResources> {
    serde_json::from_slice(json).map_err(|error| Error::new(format!("resources: {error}")))
}

fn from_options(args: &Args) -> Result<LinuxResources> {
    // The default of the type denies all devices, which nobody asked for here.
    let mut resources = LinuxResources::default();
    resources.set_devices(None);
    resources.set_memory(memory(args)?);
    resources.set_cpu(cpu(args)?);
    // As runc: no limit of that name is 0.
    if let Some(limit) = args.number::<i64>("pids-limit")?.filter(|limit| *limit != 0) {
        let mut pids = LinuxPids::default();
        pids.set_limit(limit);
        resources.set_pids(Some(pids));
    }
    if let Some(weight) = args.number::<u16>("blkio-weight")?.filter(|weight| *weight != 0) {
        let mut io = LinuxBlockIo::default();
        io.set_weight(Some(weight));
        resources.set_block_io(Some(io));
    }
    Ok(resources)
}

fn memory(args: &Args) -> Result<Option<LinuxMemory>> {
    let bytes = |option: &str| {
        let text = args.text(option)?;
        text.map(size_or_unlimited)
            .transpose()
            .map_err(|error| Error::new(format!("invalid value for {option}: {error}")))
    };
    let (limit, swap, reservation) =
        (bytes("memory")?, bytes("memory-swap")?, bytes("memory-reservation")?);
    if limit.or(swap).or(reservation).is_none() {
        return Ok(None);
    }
    let mut memory = LinuxMemory::default();
    memory.set_limit(limit);
    // Who takes the limit away means the one with swap as well, as in runc.
    memory.set_swap(swap.or(limit.filter(|limit| *limit == -1)));
    memory.set_reservation(reservation);
    Ok(Some(memory))
}

fn cpu(args: &Args) -> Result<Option<LinuxCpu>> {
    let list = |option: &str| args.text(option).map(|text| text.map(str::to_owned));
    let mut cpu = LinuxCpu::default();
    cpu.set_period(args.number("cpu-period")?);
    cpu.set_quota(args.number("cpu-quota")?);
    cpu.set_burst(args.number("cpu-burst")?);
    cpu.set_shares(args.number("cpu-share")?.or(args.number("cpu-shares")?));
    cpu.set_idle(args.number("cpu-idle")?);
    cpu.set_realtime_period(args.number("cpu-rt-period")?);
    cpu.set_realtime_runtime(args.number("cpu-rt-runtime")?);
    cpu.set_cpus(list("cpuset-cpus")?);
    cpu.set_mems(list("cpuset-mems")?);
    Ok(Some(cpu).filter(|cpu| *cpu != LinuxCpu::default()))
}
