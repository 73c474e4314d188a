//! Catalogue: not needed to understand the chapter.
//!
//! How a new process gets into version 1 cgroups without waiting.
//!
//! To move another process, with all its threads, the kernel first makes sure that nobody
//! is forking anywhere, which takes as long as the slowest processor needs to say so:
//! several milliseconds. A thread that moves itself, and itself alone, by `0` in `tasks`,
//! need not wait for anybody; and a process that has just been cloned is one thread.

use std::fs::{File, OpenOptions};
use std::io::Write;

use ch01_clone::Result;
use ch01_clone::error::Context;

use crate::Cgroup;

/// The `tasks` of a cgroup's version 1 directories, open: so whoever enters need not be
/// allowed to open them, nor see them at their paths.
pub struct Entrance(Vec<File>);

impl Cgroup {
    /// The way in for a child that was cloned into [`dir`](Self::dir); it takes the place of
    /// [`add_cloned`](Self::add_cloned). `None` where there is no version 1, and where
    /// systemd made the cgroup, which it would remove while nobody is in it.
    pub fn entrance(&self) -> Result<Option<Entrance>> {
        let Some(v1) = self.v1.as_ref().filter(|_| self.unit.is_none()) else { return Ok(None) };
        let open = |dir: std::path::PathBuf| {
            let path = dir.join("tasks");
            OpenOptions::new().write(true).open(&path).call(|| format!("open({path:?})"))
        };
        v1.paths().into_values().map(open).collect::<Result<_>>().map(|all| Some(Entrance(all)))
    }

    /// The same where version 1 is all there is: for one more process in a running
    /// container, which was not cloned into anything.
    pub fn only_entrance(&self) -> Result<Option<Entrance>> {
        self.legacy().map_or(Ok(None), |_| self.entrance())
    }
}

impl Entrance {
    /// Moves this process, which has one thread only, into the cgroup.
    pub fn enter(&self) -> Result<()> {
        self.0.iter().try_for_each(|mut tasks| tasks.write_all(b"0")).call(|| "write(tasks, 0)")
    }
}
