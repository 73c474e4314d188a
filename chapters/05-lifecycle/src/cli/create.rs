//! Catalogue: not needed to understand the chapter.
//!
//! `create`, `start`, and `run`, which is both.

use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result, Signals};

use super::Cli;
use super::args::Args;
use crate::runtime::{Container, CreateOptions};
use crate::{Bundle, Stdio, pty, relay};

pub(super) fn create(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    let (bundle, options) = (bundle(args)?, options(args)?);
    cli.runtime()?.create(args.id()?, &bundle, &options)?;
    Ok(0)
}

pub(super) fn start(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    cli.runtime()?.open(args.id()?)?.start()?;
    Ok(0)
}

pub(super) fn run(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    let (bundle, options) = (bundle(args)?, options(args)?);
    let runtime = cli.runtime()?;
    if args.has("detach") {
        let container = runtime.create(args.id()?, &bundle, &options)?;
        return whole(&container, |container| container.start()).map(|()| 0);
    }
    foreground(&runtime, args, &bundle, options)
}

/// With a terminal the user's own is connected to it; else it has our streams.
fn foreground(
    runtime: &crate::Runtime,
    args: &Args,
    bundle: &Path,
    options: CreateOptions,
) -> Result<u8> {
    if options.console_socket.is_some() {
        return Err(no_use_of_socket());
    }
    let spec = Bundle::load(bundle)?.spec;
    let terminal = spec.process().as_ref().and_then(|process| process.terminal()) == Some(true);
    // Before there is a child: none of them is lost.
    let signals = Signals::catch()?.without_insisting();
    let (container, started) = runtime.run(args.id()?, bundle, own_streams(terminal), &options)?;
    let status = relay(started, signals, true)?;
    if !args.has("keep") {
        container.delete(true)?;
    }
    Ok(status.code())
}

/// In the foreground: a terminal as large as ours, or our streams themselves.
pub(super) fn own_streams(terminal: bool) -> Stdio {
    let (rows, columns) = pty::size();
    match terminal {
        true => Stdio::Terminal { rows, columns },
        false => Stdio::Inherit,
    }
}

/// Does the rest of making a container; what is left of one when that fails is removed.
fn whole<T>(
    container: &Container<'_>,
    rest: impl FnOnce(&Container<'_>) -> Result<T>,
) -> Result<T> {
    rest(container).inspect_err(|_| {
        // The first error is the one to tell.
        let _ = container.delete(true);
    })
}

fn bundle(args: &Args) -> Result<PathBuf> {
    let dir = args.value("bundle").map_or(Path::new("."), Path::new);
    std::path::absolute(dir).call(|| format!("the bundle {dir:?}"))
}

fn options(args: &Args) -> Result<CreateOptions> {
    if args.has("no-pivot") {
        return Err(Error::new("--no-pivot is not supported")
            .hint("pivot_root works from every root but an initramfs; move that one first"));
    }
    Ok(CreateOptions {
        console_socket: args.value("console-socket").map(PathBuf::from),
        pid_file: args.value("pid-file").map(PathBuf::from),
        preserve_fds: args.number("preserve-fds")?.unwrap_or(0),
    })
}

/// Whoever waits here gets the terminal itself, and whoever has none sends none.
pub(super) fn no_use_of_socket() -> Error {
    Error::new("cannot use console socket if runc will not detach or allocate tty")
}

/// Whoever does not wait here has to take the terminal from somewhere.
pub(super) fn no_socket() -> Error {
    Error::new("cannot allocate tty if runc will detach without setting console socket")
}
