//! One health check: enters the container, asks, and prints the answer. Started by the
//! container's monitor.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use ch01_clone::{Child, Context, Error, Result};
use ch05_lifecycle::launch::{Started, Streams};
use nix::errno::Errno;
use nix::libc::SIGKILL;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::read;

use super::time;
use crate::engine::Engine;
use crate::engine::exec::ExecOptions;
use crate::engine::health::{Answer, HealthCheck};
use crate::engine::record::Record;

/// What it is called.
pub const NAME: &str = "dockster-probe";

/// So much of what a check says is kept, in bytes.
const MOST: usize = 4096;

/// The probe. Its argument is the container's directory.
pub fn main() -> ExitCode {
    let start = time::now();
    let dir = std::env::args_os().nth(1).unwrap_or_default();
    let answer =
        ask(dir.as_ref(), start).unwrap_or_else(|error| Answer::none(start, error.to_string()));
    match serde_json::to_writer(std::io::stdout(), &answer) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody wants to know any more.
        Err(_) => ExitCode::FAILURE,
    }
}

fn ask(dir: &Path, start: u64) -> Result<Answer> {
    let missing = || Error::new("dockster starts this program itself");
    let root = dir.ancestors().nth(2).ok_or_else(missing)?;
    let record = Record::load(dir)?.ok_or_else(missing)?;
    let check = record.plan.health.ok_or_else(missing)?;
    let options = ExecOptions {
        container: record.id,
        command: check.command().ok_or_else(missing)?,
        ..ExecOptions::default()
    };
    let Started { child, streams } = Engine::open(root)?.exec(&options)?;
    let Streams::Pipes { stdout, stderr, .. } = streams else { return Err(missing()) };
    let (mut output, in_time) = listen(&child, [Some(stdout), Some(stderr)], &check)?;
    if !in_time {
        child.signal(SIGKILL)?;
    }
    let status = child.wait()?.code();
    if output.len() > MOST {
        output.truncate(MOST);
        output.extend_from_slice(b"...");
    }
    let output = String::from_utf8_lossy(&output).into_owned();
    match in_time {
        true => Ok(Answer { start, end: time::now(), exit_code: status.into(), output }),
        false if output.is_empty() => Ok(Answer::none(start, too_long(&check))),
        false => Ok(Answer::none(start, format!("{}: {output}", too_long(&check)))),
    }
}

/// Docker's words for a check that does not end.
pub fn too_long(check: &HealthCheck) -> String {
    format!("Health check exceeded timeout ({})", time::go_duration(check.timeout()))
}

/// What it says until it ends, and whether it ends in time.
fn listen(
    child: &Child,
    mut streams: [Option<OwnedFd>; 2],
    check: &HealthCheck,
) -> Result<(Vec<u8>, bool)> {
    let end = Instant::now() + check.timeout();
    let (mut output, mut ended) = (Vec::new(), false);
    loop {
        let left = if ended { PollTimeout::ZERO } else { until(end) };
        let mut ready = vec![PollFd::new(child.pidfd(), PollFlags::POLLIN)];
        let open: Vec<usize> = (0..2).filter(|&number| streams[number].is_some()).collect();
        let fds = streams.iter().flatten();
        ready.extend(fds.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        match poll(&mut ready, left) {
            Err(Errno::EINTR) => continue,
            done => done.call(|| "poll")?,
        };
        let happened: Vec<bool> = ready.iter().map(|fd| fd.any() == Some(true)).collect();
        drop(ready);
        for (&number, _) in open.iter().zip(&happened[1..]).filter(|(_, ready)| **ready) {
            take(&mut streams[number], &mut output);
        }
        // What somebody else may still say is no answer.
        if ended && !happened[1..].contains(&true) {
            return Ok((output, true));
        }
        ended |= happened[0];
        if !ended && Instant::now() >= end {
            return Ok((output, false));
        }
    }
}

fn take(stream: &mut Option<OwnedFd>, output: &mut Vec<u8>) {
    let mut bytes = [0; 4096];
    match stream.as_ref().map(|fd| read(fd, &mut bytes)) {
        Some(Ok(count @ 1..)) => {
            let room = (MOST + 1).saturating_sub(output.len());
            output.extend_from_slice(&bytes[..count.min(room)]);
        }
        Some(Err(Errno::EINTR | Errno::EAGAIN)) => {}
        _ => *stream = None,
    }
}

/// Rounded up: not to wake too early, again and again.
fn until(end: Instant) -> PollTimeout {
    let left = end.saturating_duration_since(Instant::now());
    PollTimeout::try_from(left + std::time::Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
}
