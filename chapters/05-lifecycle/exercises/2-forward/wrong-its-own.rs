//! 05.2: a supervisor. It ends with the signal that it got itself.

use std::env::{args, current_exe};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, exit};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

/// Runs the service until it ends; the exit status that stands for it.
fn supervise(mut service: Command) -> anyhow::Result<i32> {
    // Before the service is there: then no signal is lost, and none ends us.
    let signals = [Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];
    let signals = SigSet::from_iter(signals);
    signals.thread_block()?;
    let mut child = service.spawn()?;
    let mut last = 0;
    loop {
        match signals.wait()? {
            Signal::SIGCHLD => {
                if let Some(status) = child.try_wait()? {
                    return Ok(if last > 1 { 128 + last } else { status.into_raw() | 128 });
                }
            }
            signal => {
                last = signal as i32;
                kill(Pid::from_raw(child.id() as i32), signal)?;
            }
        }
    }
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
