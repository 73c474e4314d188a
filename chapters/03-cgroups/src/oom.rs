//! Catalogue: not needed to understand the chapter.
//!
//! Waiting for the OOM killer, without looking again and again.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ch01_clone::error::Context;
use ch01_clone::{Error, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::Cgroup;
use crate::interface::{value_of, write};
use crate::tree::unless_gone;

/// Sees to one cgroup and those below it.
#[derive(Debug)]
pub struct OomWatch(Kind);

#[derive(Debug)]
enum Kind {
    /// Version 2: files that poll(2) reports when they change.
    Files { memory: File, cgroup: File, kills: u64 },
    /// Version 1: the kernel counts in a descriptor of ours.
    Events { counter: EventFd, control: PathBuf },
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oom {
    /// Processes were killed since the last time, or since the watch began.
    Killed,
    /// Nobody is in it any more, or it has been removed.
    Gone,
    /// Nothing within the time.
    Nothing,
}

impl Cgroup {
    /// Begins to watch. What was killed before does not count.
    pub fn watch_oom(&self) -> Result<OomWatch> {
        match &self.v1 {
            None => watch_v2(&self.dir),
            Some(v1) => watch_v1(v1.dir("memory")?),
        }
        .map(OomWatch)
    }
}

fn watch_v2(dir: &Path) -> Result<Kind> {
    let open = |name: &str| {
        let path = dir.join(name);
        File::open(&path).call(|| format!("open({path:?})"))
    };
    let mut memory = open("memory.events")?;
    let kills = value_of(&text(&mut memory)?, "oom_kill");
    Ok(Kind::Files { memory, cgroup: open("cgroup.events")?, kills })
}

fn watch_v1(dir: &Path) -> Result<Kind> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let counter = EventFd::from_value_and_flags(0, flags).call(|| "eventfd")?;
    let path = dir.join("memory.oom_control");
    let file = File::open(&path).call(|| format!("open({path:?})"))?;
    let line = format!("{} {}", counter.as_fd().as_raw_fd(), file.as_raw_fd());
    write(dir, "cgroup.event_control", &line)?;
    Ok(Kind::Events { counter, control: dir.join("cgroup.event_control") })
}

/// The whole text, read again through the same descriptor: that is what poll(2) goes by.
fn text(file: &mut File) -> Result<String> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).call(|| "read(events)")?;
    Ok(text)
}

impl OomWatch {
    /// Waits for the next event; without a limit as long as it takes.
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<Oom> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        loop {
            if let Some(event) = self.look()? {
                return Ok(event);
            }
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Oom::Nothing);
            }
            // Rounded up: not to look again and again in the last millisecond.
            let left = left.map(|left| left + Duration::from_millis(1));
            let timeout = left.map_or(PollTimeout::NONE, |left| {
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            });
            match self.poll(timeout) {
                Ok(()) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::os("poll(events)", errno)),
            }
        }
    }

    fn poll(&self, timeout: PollTimeout) -> Result<(), Errno> {
        match &self.0 {
            Kind::Files { memory, cgroup, .. } => {
                let files = [memory, cgroup];
                let mut fds = files.map(|file| PollFd::new(file.as_fd(), PollFlags::POLLPRI));
                poll(&mut fds, timeout).map(drop)
            }
            Kind::Events { counter, .. } => {
                poll(&mut [PollFd::new(counter.as_fd(), PollFlags::POLLIN)], timeout).map(drop)
            }
        }
    }

    fn look(&mut self) -> Result<Option<Oom>> {
        match &mut self.0 {
            Kind::Files { memory, cgroup, kills } => {
                let now = value_of(&unless_gone(text(memory))?, "oom_kill");
                if now > *kills {
                    *kills = now;
                    return Ok(Some(Oom::Killed));
                }
                let populated = unless_gone(text(cgroup))?.contains("populated 1");
                Ok((!populated).then_some(Oom::Gone))
            }
            Kind::Events { counter, control } => match counter.read() {
                // It counts once more when the cgroup is removed.
                Ok(_) if !control.exists() => Ok(Some(Oom::Gone)),
                Ok(_) => Ok(Some(Oom::Killed)),
                Err(Errno::EAGAIN) => Ok(None),
                Err(errno) => Err(Error::os("read(eventfd)", errno)),
            },
        }
    }
}
