//! `dockster start` and `dockster attach`.

use std::io::{IsTerminal, stdin};

use anyhow::bail;
use ch01_clone::Signals;
use clap::{ArgAction, Args};

use super::containers::each;
use crate::engine::Engine;
use crate::shim::client::{self, Attach, Parted, default_keys, keys};
use crate::shim::wire::{INPUT, OUTPUT};

/// Start one or more containers
#[derive(Args, Debug)]
pub struct StartArgs {
    /// Print what it says until it ends, and pass on signals
    #[arg(short, long)]
    attach: bool,
    /// Our input is the container's
    #[arg(short, long)]
    interactive: bool,
    /// The keys that leave it to itself [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Names or ids
    #[arg(required = true)]
    pub containers: Vec<String>,
}

/// Attach to a running container: see what it says, and type to it
#[derive(Args, Debug)]
pub struct AttachArgs {
    /// The keys that leave it to itself [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Only see
    #[arg(long)]
    no_stdin: bool,
    /// Pass signals on to it
    #[arg(long, default_value_t = true, default_missing_value = "true", num_args = 0..=1,
        require_equals = true, action = ArgAction::Set, hide_default_value = true)]
    sig_proxy: bool,
    /// Its name or id
    container: String,
}

/// Starts them, or one of them and is attached.
pub fn start(engine: &Engine, args: &StartArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    if !args.attach && !args.interactive {
        return each(&args.containers, |name| {
            engine.start(name, None)?;
            Ok(None)
        });
    }
    let [name] = &args.containers[..] else {
        bail!("you cannot start and attach multiple containers at once");
    };
    let plan = engine.known(&engine.find(name)?, name)?.plan;
    let input = args.interactive && plan.stdin;
    let terminal = plan.terminal;
    if terminal && input && !stdin().is_terminal() {
        bail!("the input device is not a TTY");
    }
    let how = Attach {
        input,
        terminal,
        keys: args.detach_keys.as_deref().map_or(Ok(default_keys()), keys)?,
        proxy: true,
    };
    let signals = Signals::catch()?;
    let flags = OUTPUT | if input { INPUT } else { 0 };
    let raw = how.raw()?;
    match engine.start(name, Some(flags))? {
        (_, Some(lines)) => {
            let parted = client::attach(&lines.data, &lines.control, &how, signals)?;
            drop(raw);
            end(parted)
        }
        // It runs already.
        (_, None) => {
            drop(raw);
            go(engine, name, &how, signals)
        }
    }
}

/// Is attached to it.
pub fn attach(engine: &Engine, args: &AttachArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    let record = engine.known(&engine.find(&args.container)?, &args.container)?;
    if record.paused {
        bail!("You cannot attach to a paused container, unpause it first");
    }
    if !record.lives() {
        bail!("You cannot attach to a stopped container, start it first");
    }
    let input = record.plan.stdin && !args.no_stdin;
    if record.plan.terminal && input && !stdin().is_terminal() {
        bail!("the input device is not a TTY");
    }
    let how = Attach {
        input,
        terminal: record.plan.terminal,
        keys: args.detach_keys.as_deref().map_or(Ok(default_keys()), keys)?,
        proxy: args.sig_proxy,
    };
    go(engine, &args.container, &how, Signals::catch()?)
}

fn go(engine: &Engine, name: &str, how: &Attach, signals: Signals) -> anyhow::Result<u8> {
    let id = engine.find(name)?;
    let (Some(data), Some(control)) = (engine.reach(&id)?, engine.reach(&id)?) else {
        bail!("You cannot attach to a stopped container, start it first");
    };
    data.say(b'A', &[OUTPUT | if how.input { INPUT } else { 0 }])?;
    let raw = how.raw()?;
    let parted = client::attach(&data, &control, how, signals)?;
    drop(raw);
    end(parted)
}

fn end(parted: Parted) -> anyhow::Result<u8> {
    match parted {
        Parted::Ended(code, error) => {
            if !error.is_empty() {
                eprintln!("dockster: {error}");
            }
            Ok(code)
        }
        Parted::Detached => Ok(0),
        Parted::Lost => bail!("the container's monitor is gone"),
    }
}
