//! Catalogue: not needed to understand the chapter.
//!
//! `create`, `start`, and `run`, which is both.

use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result, Signals};

use super::Cli;
use super::args::Args;
use crate::listen::Listen;
use crate::protect::protect;
use crate::{Bundle, CreateOptions, Stdio, given, pty, relay};

pub(super) fn create(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    protect()?;
    cli.runtime()?.create(args.id()?, &bundle(args)?, &options_of_new(args)?)?;
    Ok(0)
}

pub(super) fn start(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    cli.runtime()?.open(args.id()?)?.start()?;
    Ok(0)
}

pub(super) fn run(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    protect()?;
    let bundle = Bundle::load(&bundle(args)?)?;
    let (containers, options) = (cli.runtime()?, options_of_new(args)?);
    if args.has("detach") {
        let stdio = given::stdio(bundle.spec.process().as_ref(), &options)?;
        let (_, started) = containers.run(args.id()?, &bundle, stdio, &options)?;
        started.child.leave();
        return Ok(0);
    }
    if options.console_socket.is_some() {
        return Err(no_use_of_socket());
    }
    let process = bundle.spec.process().as_ref();
    let terminal = process.and_then(|process| process.terminal()) == Some(true);
    // Before there is a child: no signal is lost.
    let signals = Signals::catch()?.without_insisting();
    let (container, started) = containers.run(args.id()?, &bundle, ours(terminal), &options)?;
    let ended = relay(started, signals, true);
    if !args.has("keep") {
        container.delete(true)?;
    }
    Ok(ended?.code())
}

/// The streams of a program that we wait for: a terminal of its own is as large
/// as the user's, and connected to that one; else it has our streams.
pub(super) fn ours(terminal: bool) -> Stdio {
    let (rows, columns) = pty::size();
    if terminal { Stdio::Terminal { rows, columns } } else { Stdio::Inherit }
}

fn bundle(args: &Args) -> Result<PathBuf> {
    let dir = args.value("bundle").map_or(Path::new("."), Path::new);
    std::path::absolute(dir).call(|| format!("the bundle {dir:?}"))
}

/// What a container is given; the sockets are for its own program, and not for one more in it.
fn options_of_new(args: &Args) -> Result<CreateOptions> {
    Ok(CreateOptions { listen: Listen::ours()?, ..options(args)? })
}

pub(super) fn options(args: &Args) -> Result<CreateOptions> {
    Ok(CreateOptions {
        console_socket: args.value("console-socket").map(PathBuf::from),
        pid_file: args.value("pid-file").map(PathBuf::from),
        pidfd_socket: args.value("pidfd-socket").map(PathBuf::from),
        preserve_fds: args.number("preserve-fds")?.unwrap_or(0),
        same_keyring: args.has("no-new-keyring"),
        no_pivot: args.has("no-pivot"),
        init: args.has("init"),
        ..CreateOptions::default()
    })
}

/// Whoever waits here gets the terminal itself, and whoever has none sends none.
pub(super) fn no_use_of_socket() -> Error {
    Error::new("cannot use console socket if runc will not detach or allocate tty")
}
