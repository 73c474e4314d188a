//! `dockster exec`.

use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

use anyhow::bail;
use ch01_clone::Signals;
use ch05_lifecycle::relay;
use clap::Args;

use super::run::variables;
use crate::engine::Engine;
use crate::engine::exec::ExecOptions;
use crate::shim;

/// Run one more program in a running container
#[derive(Args, Debug)]
#[command(override_usage = "dockster exec [OPTIONS] CONTAINER COMMAND [ARG...]")]
pub struct ExecArgs {
    /// In the background
    #[arg(short, long)]
    detach: bool,
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,
    /// Give it a terminal of its own
    #[arg(short, long)]
    tty: bool,
    /// Set a variable: NAME=VALUE, or NAME for the value that it has here
    #[arg(short, long, value_name = "ENV")]
    env: Vec<String>,
    /// The working directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Who it runs as: `USER[:GROUP]`, names or numbers
    #[arg(short, long)]
    user: Option<String>,
    /// The container's name or id, and then the command and its arguments
    #[arg(required = true, num_args = 2.., trailing_var_arg = true,
        value_names = ["CONTAINER", "COMMAND"])]
    words: Vec<String>,
}

impl ExecArgs {
    /// The container's name or id.
    pub fn container(&self) -> &str {
        &self.words[0]
    }
}

/// Runs it, and ends with its status.
pub fn exec(engine: &Engine, args: &ExecArgs) -> anyhow::Result<u8> {
    let options = ExecOptions {
        container: args.container().to_owned(),
        command: args.words[1..].to_vec(),
        interactive: args.interactive,
        terminal: args.tty,
        detached: args.detach,
        env: variables(&args.env)?,
        workdir: args.workdir.clone(),
        user: args.user.clone(),
    };
    if args.tty && args.interactive && !args.detach && !stdin().is_terminal() {
        bail!("the input device is not a TTY");
    }
    let signals = Signals::catch()?;
    if args.detach {
        shim::without_streams(|| engine.exec(&options))?.child.leave();
        return Ok(0);
    }
    let started = engine.exec(&options)?;
    Ok(relay(started, signals, args.interactive)?.code())
}
