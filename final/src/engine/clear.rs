//! What is there, and what goes: list, remove, and clear away what was abandoned.

use std::path::Path;
use std::time::{Duration, Instant};

use ch01_clone::{Context, Error, ExitStatus, Result};
use ch03_cgroups::Cgroup;
use ch05_lifecycle::Incarnation;

use super::Engine;
use super::containers::remove_cgroup;
use super::record::{Claim, Policy, Record, Status};
use super::teardown::Teardown;
use crate::shim::{time, wire};

impl Engine {
    /// All containers and their records, the newest first.
    pub fn list(&self) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for id in self.ids()? {
            records.extend(Record::load(&self.container(&id))?);
        }
        records.sort_by_key(|record| std::cmp::Reverse(record.created));
        Ok(records)
    }

    /// Removes a container that does not run; with `force` one that runs is killed first.
    /// With `volumes` its nameless ones go, too.
    pub fn remove(&self, text: &str, force: bool, volumes: bool) -> Result<()> {
        let id = self.find(text)?;
        let dir = self.container(&id);
        let record = Record::load(&dir)?;
        let mut claim = self.hold(&id)?;
        if let (None, true, Some(record)) = (&claim, force, &record) {
            if let Some(line) = self.lively(record)? {
                line.say(b'W', b"")?;
                line.say(b'S', &nix::libc::SIGKILL.to_ne_bytes())?;
                self.end_of(&id, &line, Some(Instant::now() + Duration::from_secs(30)))?;
            }
            claim = wait_for_claim(&dir)?;
        }
        let Some(claim) = claim else {
            if !dir.exists() {
                return Ok(());
            }
            let state = record.map_or("running", |r| if r.paused { "paused" } else { "running" });
            return Err(Error::new(format!(
                "cannot remove container \"{text}\": container is {state}: stop the container \
                 before removing or force remove"
            )));
        };
        match Record::load(&dir)? {
            Some(mut record) => {
                // Others may want what is in them.
                record.plan.mounts.iter_mut().for_each(|point| point.anonymous &= volumes);
                self.forget(&record, claim)
            }
            None => claim.remove(),
        }
    }

    /// Clears away what a runtime that was killed has left behind.
    pub fn sweep(&self) -> Result<()> {
        let mut down = Teardown::default();
        for id in self.ids()? {
            let dir = self.container(&id);
            let record = Record::load(&dir).unwrap_or(None);
            if record.as_ref().is_some_and(Record::at_rest) {
                continue;
            }
            if let Some(claim) = Claim::take(&dir)? {
                // It may have changed before the claim was ours.
                let record = Record::load(&dir).unwrap_or(None);
                down.also(self.clear(claim, record));
            }
        }
        down.also(self.store.sweep());
        down.also(self.sweep_hello());
        down.also(self.sweep_volumes());
        down.also(self.sweep_networks());
        down.end()
    }

    /// The same in a hurry, before something is run: only locks that nobody holds are
    /// looked behind, and of those who are held none can have been left for long.
    pub(super) fn sweep_quickly(&self) -> Result<()> {
        let mut down = Teardown::default();
        for id in self.ids()? {
            if let Some(claim) = Claim::take_at_once(&self.container(&id))? {
                let record = Record::load(claim.dir()).unwrap_or(None);
                down.also(self.clear(claim, record));
            }
        }
        down.also(self.store.sweep());
        down.also(self.sweep_hello());
        down.also(self.sweep_volumes());
        down.end()
    }

    /// Holds a container that is at rest; `None` when it lives, or is gone. Somebody who
    /// only looks may have it for a moment.
    pub(super) fn hold(&self, id: &str) -> Result<Option<Claim>> {
        let dir = self.container(id);
        for _ in 0..2000 {
            if let Some(claim) = Claim::take(&dir)? {
                return Ok(Some(claim));
            }
            match Record::load(&dir)? {
                Some(record) if record.at_rest() || record.status == Status::Removing => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    fn clear(&self, claim: Claim, record: Option<Record>) -> Result<()> {
        let Some(mut record) = record else { return claim.remove() };
        if record.at_rest() {
            return Ok(());
        }
        if record.plan.restart != Policy::No {
            // It may be started again in a moment: see `Command::starts_programs`.
            ch05_lifecycle::protect::protect()?;
        }
        let mut down = Teardown::default();
        let init = record.init.filter(|init| init.alive());
        down.also(init.map_or(Ok(()), kill));
        if !record.cgroup.is_empty() {
            down.also(
                Cgroup::from_paths(record.cgroup.clone()).and_then(|cgroup| remove_cgroup(&cgroup)),
            );
        }
        down.also(self.detach(&record));
        if init.is_some_and(Incarnation::alive) {
            // As long as it lives, it shows as what it is.
            return down.end();
        }
        if record.auto_remove || matches!(record.status, Status::Creating | Status::Removing) {
            down.also(self.forget(&record, claim));
            return down.end();
        }
        if record.exit_code.is_none() {
            record.exit_code = Some(ExitStatus::Signaled(9).code());
            record.error = "monitor lost".to_owned();
            record.finished = time::now();
        }
        record.status = Status::Stopped;
        record.ends();
        (record.monitor, record.init) = (None, None);
        let _ = std::fs::remove_file(claim.dir().join(wire::FILE));
        down.also(record.save(claim.dir()));
        self.note(&record, "die");
        down.also(self.revive(claim, record));
        down.end()
    }
}

/// Kills the first process of a container, and with it all others, and waits until it is gone.
fn kill(init: Incarnation) -> Result<()> {
    use nix::sys::signal::{Signal, kill};
    match kill(nix::unistd::Pid::from_raw(init.pid), Signal::SIGKILL) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
        Err(errno) => return Err(errno).call(|| format!("kill({}, SIGKILL)", init.pid)),
    }
    for _ in 0..500 {
        if !init.alive() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(Error::new(format!("process {} does not end", init.pid)))
}

/// Its monitor sees that it has ended, and lets go of it.
fn wait_for_claim(dir: &Path) -> Result<Option<Claim>> {
    for _ in 0..500 {
        if let Some(claim) = Claim::take(dir)? {
            return Ok(Some(claim));
        }
        if !dir.exists() {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(None)
}
