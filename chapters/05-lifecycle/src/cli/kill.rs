//! Catalogue: not needed to understand the chapter.
//!
//! `kill`, `delete`, `pause` and `resume`.

use ch01_clone::Result;

use super::args::Args;
use super::{Cli, names};

pub(super) fn kill(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    let runtime = cli.runtime()?;
    let container = runtime.open(args.id()?)?;
    let signal = args.operands.get(1).map_or(Ok(libc::SIGTERM), |name| names::signal(name))?;
    container.kill(signal, args.has("all"))?;
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
