//! `dockster rm`, `stop`, `kill`, `wait`, and what else is done to several containers.

use clap::Args;

use super::{complain, print};
use crate::engine::Engine;
use crate::engine::record::Policy;
use crate::engine::signals::number;
use ch03_cgroups::LimitOptions;

/// Remove one or more containers
#[derive(Args, Debug)]
pub struct RmArgs {
    /// Kill it first if it runs
    #[arg(short, long)]
    force: bool,
    /// With its nameless volumes
    #[arg(short, long)]
    volumes: bool,
    /// Names or ids
    #[arg(required = true)]
    pub containers: Vec<String>,
}

/// Stop one or more running containers
#[derive(Args, Debug)]
pub struct StopArgs {
    /// What to send first [default: its own stop signal]
    #[arg(short, long)]
    signal: Option<String>,
    /// How long to wait before it is killed, in seconds; -1 for ever
    #[arg(
        short,
        long = "timeout",
        alias = "time",
        value_name = "SECS",
        allow_hyphen_values = true
    )]
    timeout: Option<i64>,
    /// Names or ids
    #[arg(required = true)]
    pub containers: Vec<String>,
}

/// Kill one or more running containers
#[derive(Args, Debug)]
pub struct KillArgs {
    /// The signal to send
    #[arg(short, long, default_value = "KILL")]
    signal: String,
    /// Names or ids
    #[arg(required = true)]
    pub containers: Vec<String>,
}

/// One or more containers
#[derive(Args, Debug)]
pub struct ManyArgs {
    /// Names or ids
    #[arg(required = true)]
    pub containers: Vec<String>,
}

/// Rename a container
#[derive(Args, Debug)]
pub struct RenameArgs {
    /// Its name or id
    container: String,
    /// Its new name
    new_name: String,
}

/// Change limits and policy of one or more containers
#[derive(Args, Debug)]
pub struct UpdateArgs {
    /// When to start it again: `no`, `on-failure[:N]`, `always` or `unless-stopped`
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
    #[command(flatten)]
    limits: LimitOptions,
    /// Names or ids
    #[arg(required = true)]
    pub containers: Vec<String>,
}

/// Does it to each; one that fails does not keep the others.
pub fn each(
    names: &[String],
    mut what: impl FnMut(&str) -> anyhow::Result<Option<String>>,
) -> anyhow::Result<u8> {
    let mut status = 0;
    for name in names {
        match what(name) {
            Ok(said) => drop(print(&said.unwrap_or_else(|| format!("{name}\n")))?),
            Err(error) => {
                complain(&error);
                status = 1;
            }
        }
    }
    Ok(status)
}

/// Removes them.
pub fn rm(engine: &Engine, args: &RmArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    each(&args.containers, |name| {
        match engine.remove(name, args.force, args.volumes) {
            // With force what is not there is as it should be.
            Err(error) if args.force && error.call.starts_with("No such container") => {
                eprintln!("dockster: {error}");
                return Ok(Some(String::new()));
            }
            removed => removed?,
        }
        Ok(None)
    })
}

/// Stops them.
pub fn stop(engine: &Engine, args: &StopArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    let signal = args.signal.as_deref().map(number).transpose()?;
    each(&args.containers, |name| {
        engine.stop(name, signal, args.timeout)?;
        Ok(None)
    })
}

/// Stops and starts them.
pub fn restart(engine: &Engine, args: &StopArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    let signal = args.signal.as_deref().map(number).transpose()?;
    each(&args.containers, |name| {
        engine.stop(name, signal, args.timeout)?;
        engine.start(name, None)?;
        Ok(None)
    })
}

/// Sends them a signal.
pub fn kill(engine: &Engine, args: &KillArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    let signal = number(&args.signal)?;
    each(&args.containers, |name| {
        engine.kill(name, signal)?;
        Ok(None)
    })
}

/// Waits for their ends, and prints their statuses.
pub fn wait(engine: &Engine, args: &ManyArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    each(&args.containers, |name| Ok(Some(format!("{}\n", engine.wait(name)?.code))))
}

/// Stops their processes where they are, or lets them go on.
pub fn pause(engine: &Engine, args: &ManyArgs, pause: bool) -> anyhow::Result<u8> {
    engine.sweep()?;
    each(&args.containers, |name| {
        engine.pause(name, pause)?;
        Ok(None)
    })
}

/// Renames it.
pub fn rename(engine: &Engine, args: &RenameArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    engine.rename(&args.container, &args.new_name)?;
    Ok(0)
}

/// Changes limits and policy.
pub fn update(engine: &Engine, args: &UpdateArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    let restart = args.restart.as_deref().map(Policy::parse).transpose()?;
    let limits = args.limits.limits()?;
    each(&args.containers, |name| {
        engine.update(name, &limits, restart)?;
        Ok(None)
    })
}
