//! Catalogue: not needed to understand the chapter.
//!
//! `kill`, `stop`, `delete`, `pause` and `resume`.

use std::ffi::OsStr;
use std::time::Duration;

use ch01_clone::Result;

use super::args::Args;
use super::{Cli, names};
use crate::stop::PATIENCE;

pub(super) fn kill(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    let runtime = cli.runtime()?;
    let container = runtime.open(args.id()?)?;
    let signal = args.operands.get(1).map_or(Ok(libc::SIGTERM), |name| names::signal(name))?;
    container.kill(signal, args.has("all"))?;
    Ok(0)
}

/// Where an image says how its program wants to be asked (image-spec, "Conversion").
const STOP_SIGNAL: &str = "org.opencontainers.image.stopSignal";

pub(super) fn stop(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    let runtime = cli.runtime()?;
    let container = runtime.open(args.id()?)?;
    let annotations = container.state()?.annotations;
    let said = annotations.get(STOP_SIGNAL).map(OsStr::new);
    let signal = args.value("signal").or(said).map_or(Ok(libc::SIGTERM), names::signal)?;
    let patience =
        args.number("time")?.map_or(PATIENCE, |seconds: u32| Duration::from_secs(seconds.into()));
    container.stop(signal, patience)?;
    Ok(0)
}

pub(super) fn delete(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    let (runtime, force) = (cli.runtime()?, args.has("force"));
    match runtime.open(args.id()?) {
        Ok(container) => container.delete(force)?,
        Err(error) if force && error.call == "container does not exist" => {}
        Err(error) => return Err(error),
    }
    Ok(0)
}

pub(super) fn pause(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    cli.runtime()?.open(args.id()?)?.pause()?;
    Ok(0)
}

pub(super) fn resume(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    cli.runtime()?.open(args.id()?)?.resume()?;
    Ok(0)
}
