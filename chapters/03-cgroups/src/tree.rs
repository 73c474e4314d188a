//! Catalogue: not needed to understand the chapter.
//!
//! The directories of a cgroup and of those below it: walking, waiting, removing.

use std::fs::{File, read_dir, remove_dir};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ch01_clone::error::Context;
use ch01_clone::{Error, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use crate::interface::read_if_any;

/// How long to wait for processes to freeze, or to be gone once they are killed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The processes in `dir` and in the cgroups below.
pub(crate) fn procs(dir: &Path) -> Result<Vec<Pid>> {
    // One that the container has divided among threads has no list of processes.
    let text = unless_gone(read_if_any(dir, "cgroup.procs"))?.unwrap_or_default();
    let mut pids: Vec<_> =
        text.lines().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect();
    for child in children(dir) {
        pids.extend(procs(&child)?);
    }
    Ok(pids)
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect()
}

/// Waits until `cgroup.events` has this line; whether it came to that in time.
///
/// The kernel tells when the file changes: poll(2) reports that as something
/// urgent since the last read through the same descriptor.
pub(crate) fn wait_for(dir: &Path, line: &str, deadline: Instant) -> Result<bool> {
    let path = dir.join("cgroup.events");
    let events = File::open(&path).call(|| format!("open({path:?})"))?;
    loop {
        let mut text = [0; 256];
        let length = events.read_at(&mut text, 0).call(|| format!("read({path:?})"))?;
        if String::from_utf8_lossy(&text[..length]).lines().any(|l| l == line) {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::os(format!("poll({path:?})"), errno)),
        }
    }
}

/// Removes `dir` and the cgroups below, once they hold no processes.
pub(crate) fn remove_tree(dir: &Path, deadline: Instant) -> Result<()> {
    // Version 1 has no such file, and only rmdir(2) itself tells.
    if dir.join("cgroup.events").exists() {
        unless_gone(wait_for(dir, "populated 0", deadline))?;
    }
    remove_when_empty(dir, deadline).map_err(|error| match procs(dir) {
        Ok(pids) if !pids.is_empty() => {
            let pids: Vec<_> = pids.iter().take(10).map(Pid::to_string).collect();
            error.hint(format!("processes are left in it: kill {}", pids.join(" ")))
        }
        _ => error,
    })
}

fn remove_when_empty(dir: &Path, deadline: Instant) -> Result<()> {
    loop {
        match unless_gone(remove_dir(dir).call(|| format!("rmdir({dir:?})"))) {
            Err(Error { errno: Some(Errno::EBUSY), .. }) if Instant::now() < deadline => {
                for child in children(dir) {
                    // If this fails, so does our own rmdir, with the same reason.
                    let _ = remove_when_empty(&child, deadline);
                }
                sleep(Duration::from_millis(1));
            }
            done => return done,
        }
    }
}

/// A cgroup that is gone, or goes while we look, is empty: no error.
pub(crate) fn unless_gone<T: Default>(result: Result<T>) -> Result<T> {
    match result {
        Err(Error { errno: Some(Errno::ENOENT | Errno::ENODEV), .. }) => Ok(T::default()),
        other => other,
    }
}

/// One error out of all that a tear-down met on its way.
pub(crate) fn all_of(results: impl IntoIterator<Item = Result<()>>) -> Result<()> {
    let mut errors = results.into_iter().filter_map(Result::err);
    let Some(mut first) = errors.next() else { return Ok(()) };
    for error in errors {
        first.call = format!("{error}; {}", first.call);
    }
    Err(first)
}
