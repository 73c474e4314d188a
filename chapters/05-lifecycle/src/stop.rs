//! Stopping: first asked, then made to.
//!
//! A program that is asked (SIGTERM) can write down what it has in its hands. One that
//! does not listen, or cannot, is killed when its time is over, with all its processes
//! at once: through the cgroup, in which nobody can hide from it by forking.

use std::time::Duration;

use ch01_clone::{Result, step};
use nix::errno::Errno;

use crate::container::{Container, cgroup_from};
use crate::incarnation::Incarnation;
use crate::state::Status;

/// How long a program has, when nobody says otherwise: docker's.
pub const PATIENCE: Duration = Duration::from_secs(10);

impl Container<'_> {
    /// Asks its program to end, with `signal`, and kills it when `patience` is over. Says
    /// whether it ended by itself. The container stays, stopped.
    pub fn stop(&self, signal: i32, patience: Duration) -> Result<bool> {
        let note = self.note()?;
        let status = self.place.status(Some(&note));
        let Some(init) = note.init.filter(|_| status != Status::Stopped) else { return Ok(true) };
        // One that was never started has no program that could be asked.
        if status != Status::Created {
            let ended = step!(
                "stop",
                "The program is asked to end, and then we wait on its pidfd, which \
                 becomes readable when it has.",
                "grep -E '^Sig(Cgt|Ign)' /proc/PID/status",
                "pidfd_send_signal({signal}), poll(pidfd, {patience:?})",
                ask(init, signal).and_then(|()| init.wait(Some(patience))),
            )?;
            if ended {
                return Ok(true);
            }
        }
        let cgroup = cgroup_from(&note)?;
        step!(
            "kill",
            "Its time is over. The kernel ends all processes in the cgroup at once.",
            "cat /proc/PID/cgroup",
            "write(cgroup.kill, 1), pidfd_send_signal(SIGKILL)",
            cgroup.map_or(Ok(()), |cgroup| cgroup.kill()).and_then(|()| init.kill()),
        )?;
        Ok(false)
    }
}

fn ask(init: Incarnation, signal: i32) -> Result<()> {
    match init.signal(signal) {
        // It has ended meanwhile: all the better.
        Err(error) if error.errno == Some(Errno::ESRCH) => Ok(()),
        asked => asked,
    }
}
