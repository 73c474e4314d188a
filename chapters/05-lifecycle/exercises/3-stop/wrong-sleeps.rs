//! 05.3: how to stop a service. It sleeps, whatever happens.

use std::env::{args, current_exe};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio, exit};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

/// Asks it to end, and when it has not done so after `patience`, makes it.
fn stop(service: &mut Child, patience: Duration) -> anyhow::Result<ExitStatus> {
    kill(Pid::from_raw(service.id() as i32), Signal::SIGTERM)?;
    sleep(patience);
    if service.try_wait()?.is_none() {
        service.kill()?;
    }
    Ok(service.wait()?)
}

fn main() -> anyhow::Result<()> {
    let words: Vec<_> = args().skip(1).collect();
    let [kind, seconds] = &words[..] else { return serve(&words[0]) };
    let mut command = Command::new(current_exe()?);
    let mut service = command.arg(kind).stdout(Stdio::piped()).spawn()?;
    service.stdout.take().unwrap().read_exact(&mut [0])?; // its first word
    let status = stop(&mut service, Duration::from_secs(seconds.parse()?))?;
    exit(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

/// Not yours to change: one that tidies up when it is asked to end, or one that does not listen.
fn serve(kind: &str) -> anyhow::Result<()> {
    let term = SigSet::from(Signal::SIGTERM);
    term.thread_block()?;
    checkpoint::reached(kind)?;
    println!("serving");
    if kind == "stubborn" {
        std::thread::park();
    }
    term.wait()?;
    checkpoint::reached("tidy")?;
    exit(3)
}
