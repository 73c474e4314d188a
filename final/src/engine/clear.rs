//! What is there, and what goes: list, remove, and clear away what was abandoned.

use std::path::Path;
use std::time::Duration;

use ch01_clone::{Context, Error, ExitStatus, Result};
use ch03_cgroups::Cgroup;
use ch05_lifecycle::Incarnation;

use super::Engine;
use super::containers::remove_cgroup;
use super::record::{Claim, Record, Status};
use super::teardown::Teardown;

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

    /// Removes a container that has ended; with `force` one that runs is killed first.
    pub fn remove(&self, text: &str, force: bool) -> Result<String> {
        let id = self.find(text)?;
        let dir = self.container(&id);
        let record = Record::load(&dir)?;
        let mut claim = Claim::take(&dir)?;
        if claim.is_none() && force {
            let init = record.as_ref().and_then(|record| record.init).filter(|init| init.alive());
            if let Some(init) = init {
                kill(init)?;
            }
            claim = wait_for_claim(&dir)?;
        }
        let Some(claim) = claim else {
            if !dir.exists() {
                return Ok(text.to_owned());
            }
            return Err(Error::new(format!(
                "cannot remove container \"{text}\": container is running: stop the container \
                 before removing or force remove"
            )));
        };
        match record {
            Some(record) => self.forget(&record, claim)?,
            None => claim.remove()?,
        }
        Ok(text.to_owned())
    }

    /// Clears away what a runtime that was killed has left behind.
    pub fn sweep(&self) -> Result<()> {
        let mut down = Teardown::default();
        for id in self.ids()? {
            let dir = self.container(&id);
            let record = Record::load(&dir).unwrap_or(None);
            if record.as_ref().is_some_and(|record| record.status == Status::Stopped) {
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
        down.end()
    }

    fn clear(&self, claim: Claim, record: Option<Record>) -> Result<()> {
        let Some(mut record) = record else { return claim.remove() };
        if record.status == Status::Stopped {
            return Ok(());
        }
        let mut down = Teardown::default();
        if let Some(init) = record.init.filter(|init| init.alive()) {
            down.also(kill(init));
        }
        if !record.cgroup.is_empty() {
            down.also(
                Cgroup::from_paths(record.cgroup.clone()).and_then(|cgroup| remove_cgroup(&cgroup)),
            );
        }
        if record.auto_remove || record.status == Status::Creating {
            down.also(self.forget(&record, claim));
        } else {
            record.status = Status::Stopped;
            record.exit_code.get_or_insert(ExitStatus::Signaled(9).code());
            down.also(record.save(claim.dir()));
        }
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
