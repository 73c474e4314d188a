//! Catalogue: not needed to understand the chapter.
//!
//! `events`: statistics, and when memory ran out, one line of JSON each.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ch01_clone::{Context, Error, Result};
use ch03_cgroups::Cgroup;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Serialize;

use super::args::Args;
use super::list::json as line;
use super::{Cli, print, time};
use crate::Status;

/// How often it is looked whether memory ran out.
const LOOK: Duration = Duration::from_millis(250);

pub(super) fn events(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    let runtime = cli.runtime()?;
    let container = runtime.open(args.id()?)?;
    let interval = args.text("interval")?.map_or(Ok(Duration::from_secs(5)), time::duration)?;
    let (id, state) = (container.id(), container.state()?);
    if state.status == Status::Stopped {
        return Err(Error::new(format!("container with id {id} is not running")));
    }
    let cgroup = container.cgroup()?.ok_or_else(|| Error::new("the container has no cgroup"))?;
    if args.has("stats") {
        return statistics(id, &cgroup);
    }
    match init(state.pid)? {
        Some(init) => follow(id, &cgroup, &init, interval).map(|()| 0),
        // It has ended since.
        None => Ok(0),
    }
}

/// Until the container ends: a line each interval, and one when memory ran out.
fn follow(id: &str, cgroup: &Cgroup, init: &OwnedFd, interval: Duration) -> Result<()> {
    let mut killed = kills(cgroup);
    let mut next = Instant::now() + interval;
    loop {
        let wait = LOOK.min(next.saturating_duration_since(Instant::now()));
        let ended = ended(init, wait)?;
        let now = kills(cgroup);
        if now > killed {
            tell("oom", id, None::<()>)?;
            killed = now;
        }
        if ended {
            return Ok(());
        }
        if Instant::now() >= next {
            statistics(id, cgroup)?;
            next += interval;
        }
    }
}

fn statistics(id: &str, cgroup: &Cgroup) -> Result<u8> {
    tell("stats", id, Some(crate::statistics::statistics(cgroup)?))
}

/// One event, in the order in which runc writes its members.
#[derive(Serialize)]
struct Event<'a, D: Serialize> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<D>,
}

fn tell(kind: &str, id: &str, data: Option<impl Serialize>) -> Result<u8> {
    print(&line(serde_json::to_string(&Event { kind, id, data }))?)
}

/// How often the kernel has killed for want of memory. A cgroup without that
/// file, or gone already, cannot say.
fn kills(cgroup: &Cgroup) -> u64 {
    cgroup.events().map_or(0, |events| events.oom_kills)
}

/// The first process, held; `None` if it has ended.
fn init(pid: i32) -> Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(errno) => Err(std::io::Error::from(errno)).call(|| format!("pidfd_open({pid:?})")),
    }
}

/// Whether it has ended, after waiting for that a while.
fn ended(init: &OwnedFd, wait: Duration) -> Result<bool> {
    let mut ready = [PollFd::new(std::os::fd::AsFd::as_fd(init), PollFlags::POLLIN)];
    let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
    match poll(&mut ready, wait) {
        Ok(count) => Ok(count > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(Error::os("poll", errno)),
    }
}
