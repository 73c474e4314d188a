//! 05.2: a supervisor. A signal ends it, and not its service.

use std::env::{args, current_exe};
use std::process::{Command, exit};

use nix::sys::signal::{SigSet, Signal};

/// Runs the service until it ends; the exit status that stands for it.
fn supervise(mut service: Command) -> anyhow::Result<i32> {
    let status = service.status()?;
    Ok(status.code().unwrap_or(1))
}

fn main() -> anyhow::Result<()> {
    if args().nth(1).as_deref() == Some("service") {
        return serve();
    }
    let mut service = Command::new(current_exe()?);
    service.arg("service");
    exit(supervise(service)?)
}

/// Not yours to change: at SIGHUP it reads its settings again, at SIGTERM it tidies up.
fn serve() -> anyhow::Result<()> {
    let signals = SigSet::from_iter([Signal::SIGHUP, Signal::SIGTERM]);
    signals.thread_block()?;
    checkpoint::reached("serving")?;
    while signals.wait()? == Signal::SIGHUP {
        checkpoint::reached("settings")?;
    }
    checkpoint::reached("tidy")?;
    exit(7)
}
