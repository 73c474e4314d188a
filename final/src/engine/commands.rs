//! What is asked of a container that is there: stop, kill, wait, pause, rename, update.

use std::time::{Duration, Instant};

use ch01_clone::{Context, Error, Result};
use ch03_cgroups::{Cgroup, Limits};
use nix::libc::SIGKILL;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

use super::record::{Claim, Policy, Record, Status};
use super::{Engine, names};
use crate::shim::wire::{Change, Line};

/// How long docker waits before it kills.
const PATIENCE: i64 = 10;

/// How a container has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its status.
    pub code: u8,
}

impl Engine {
    /// Stops it: its stop signal, and SIGKILL for one that takes too long (seconds;
    /// negative: it may take for ever). One that does not run is stopped already.
    pub fn stop(&self, text: &str, signal: Option<i32>, timeout: Option<i64>) -> Result<()> {
        let id = self.find(text)?;
        let record = self.known(&id, text)?;
        let Some(line) = self.lively(&record)? else { return Ok(()) };
        let signal = signal.unwrap_or(record.plan.stop_signal);
        let patience = timeout.or(record.plan.stop_timeout).unwrap_or(PATIENCE);
        line.say(b'W', b"")?;
        line.say(b'S', &signal.to_ne_bytes())?;
        if record.paused {
            // Who stands still hears no signal.
            self.pause(text, false)?;
        }
        let end = u64::try_from(patience).ok().map(|s| Instant::now() + Duration::from_secs(s));
        if self.end_of(&id, &line, end)?.is_none() {
            line.say(b'S', &SIGKILL.to_ne_bytes())?;
            if self.end_of(&id, &line, Some(Instant::now() + Duration::from_secs(30)))?.is_none() {
                return Err(Error::new(format!(
                    "cannot stop container: {text}: it does not end, even by SIGKILL"
                )));
            }
        }
        self.note(&record, "stop");
        Ok(())
    }

    /// Sends it a signal.
    pub fn kill(&self, text: &str, signal: i32) -> Result<()> {
        let id = self.find(text)?;
        let record = self.known(&id, text)?;
        let Some(line) = self.lively(&record)? else {
            return Err(Error::new(format!(
                "cannot kill container: {text}: container {id} is not running"
            )));
        };
        if signal == SIGKILL {
            line.say(b'W', b"")?;
        }
        line.say(b'K', &signal.to_ne_bytes())?;
        self.note(&record, "kill");
        match signal == SIGKILL {
            // As docker, which waits for this one.
            true => {
                self.end_of(&id, &line, Some(Instant::now() + Duration::from_secs(10))).map(drop)
            }
            false => line.hear(&mut Vec::new()).map(drop),
        }
    }

    /// Waits until it does not run; as with docker, one that was never started does not.
    pub fn wait(&self, text: &str) -> Result<Ended> {
        let id = self.find(text)?;
        let record = self.known(&id, text)?;
        match self.lively(&record)? {
            Some(line) => {
                line.say(b'W', b"")?;
                let ended = self.end_of(&id, &line, None)?;
                ended.ok_or_else(|| Error::new(format!("{text} does not end")))
            }
            // As it is now: what was read before may be older than its end.
            None => {
                let record = self.known(&id, text)?;
                Ok(Ended { code: record.exit_code.unwrap_or(0) })
            }
        }
    }

    /// A line to whoever sees to it, if it lives.
    pub fn lively(&self, record: &Record) -> Result<Option<Line>> {
        let dir = self.container(&record.id);
        for _ in 0..500 {
            match self.reach(&record.id)? {
                Some(line) => return Ok(Some(line)),
                // Between the lock and the socket, or the socket's end and the lock's.
                None if Claim::take(&dir)?.is_none() && dir.exists() => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                None => return Ok(None),
            }
        }
        Err(Error::new(format!("container {} does not answer", record.id)))
    }

    /// Waits for the end that was asked for by `W`; `None` when that takes too long.
    pub fn end_of(&self, id: &str, line: &Line, until: Option<Instant>) -> Result<Option<Ended>> {
        let mut body = Vec::new();
        loop {
            let limit = match until {
                None => PollTimeout::NONE,
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    PollTimeout::try_from(left + Duration::from_millis(1))
                        .unwrap_or(PollTimeout::MAX)
                }
            };
            let mut ready = [PollFd::new(line.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, limit) {
                Ok(0) if until.is_some_and(|until| Instant::now() >= until) => return Ok(None),
                Ok(0) | Err(nix::errno::Errno::EINTR) => continue,
                done => done.call(|| "poll")?,
            };
            match line.hear(&mut body)? {
                Some(b'X') => {
                    return Ok(Some(Ended { code: body.first().copied().unwrap_or(0) }));
                }
                Some(_) => {}
                None => return self.end_on_paper(id).map(Some),
            }
        }
    }

    /// How it ended, after its shim has gone without a word. If the shim was killed, the
    /// rest of the container is ended first.
    pub fn end_on_paper(&self, id: &str) -> Result<Ended> {
        for _ in 0..500 {
            self.sweep()?;
            match Record::load(&self.container(id))? {
                Some(record) if record.lives() && Claim::take(&self.container(id))?.is_none() => {
                    // Between its last word and its lock; or it has been started again.
                    std::thread::sleep(Duration::from_millis(10));
                }
                Some(record) => {
                    let code = record.exit_code.unwrap_or(137);
                    return Ok(Ended { code });
                }
                None => break,
            }
        }
        Ok(Ended { code: 137 })
    }

    /// Whoever sees to it changes its record; else we do.
    pub(super) fn change(&self, record: &Record, change: &Change) -> Result<()> {
        if let Some(line) = self.lively(record)? {
            let body = serde_json::to_vec(change).map_err(|e| Error::new(e.to_string()))?;
            line.say(b'U', &body)?;
            line.hear(&mut Vec::new())?;
            return Ok(());
        }
        let Some(claim) = self.hold(&record.id)? else {
            return Err(Error::new(format!("container {} changes just now", record.id)));
        };
        let mut record = self.known(&record.id, &record.id)?;
        if let Some(name) = &change.name {
            record.name = name.clone();
        }
        if let Some(restart) = change.restart {
            record.plan.restart = restart;
        }
        if let Some(wire) = &change.wire {
            record.plan.wire = wire.clone();
        }
        record.save(claim.dir())
    }

    /// Stops all its processes where they are, or lets them go on.
    pub fn pause(&self, text: &str, pause: bool) -> Result<()> {
        let id = self.find(text)?;
        let record = self.known(&id, text)?;
        if record.status != Status::Running {
            return Err(Error::new(format!("Container {id} is not running")));
        }
        if record.paused == pause {
            let state = if pause { "already paused" } else { "not paused" };
            return Err(Error::new(format!("Container {id} is {state}")));
        }
        let cgroup = self.cgroup_of(&record)?.ok_or_else(|| {
            Error::new("a container without a cgroup cannot be paused")
                .hint("an ordinary user wants a delegated cgroup: see `dockster doctor`")
        })?;
        match pause {
            true => cgroup.freeze()?,
            false => cgroup.thaw()?,
        }
        self.change(&record, &Change { paused: Some(pause), ..Change::default() })?;
        self.note(&record, if pause { "pause" } else { "unpause" });
        Ok(())
    }

    /// Its cgroup, if it has one.
    pub fn cgroup_of(&self, record: &Record) -> Result<Option<Cgroup>> {
        match record.cgroup.is_empty() {
            true => Ok(None),
            false => Cgroup::from_paths(record.cgroup.clone()).map(Some),
        }
    }

    /// Gives it another name.
    pub fn rename(&self, text: &str, name: &str) -> Result<()> {
        let id = self.find(text)?;
        let record = self.known(&id, text)?;
        let name = name.strip_prefix('/').unwrap_or(name);
        names::check(name)?;
        if name == record.name {
            return Err(Error::new("Renaming a container with the same name as its current name"));
        }
        if !self.take_name(name, &id)? {
            return Err(self.conflict(name));
        }
        let change = Change { name: Some(name.to_owned()), ..Change::default() };
        let changed = self.change(&record, &change);
        let old = if changed.is_ok() { &record.name } else { name };
        self.free_name(old, &id)?;
        changed?;
        self.note(&self.known(&id, text)?, "rename");
        Ok(())
    }

    /// Changes limits and policy; what is not given stays.
    pub fn update(&self, text: &str, limits: &Limits, restart: Option<Policy>) -> Result<()> {
        let id = self.find(text)?;
        let record = self.known(&id, text)?;
        if record.auto_remove && restart.is_some_and(|policy| policy != Policy::No) {
            return Err(Error::new(
                "Restart policy cannot be updated because AutoRemove is enabled for the container",
            ));
        }
        if *limits != Limits::default() {
            if record.lives()
                && let Some(cgroup) = self.cgroup_of(&record)?
            {
                cgroup.update(limits)?;
            }
            self.remember_limits(&id, limits)?;
        }
        if restart.is_some() {
            self.change(&record, &Change { restart, ..Change::default() })?;
        }
        self.note(&record, "update");
        Ok(())
    }

    /// For the next start.
    fn remember_limits(&self, id: &str, limits: &Limits) -> Result<()> {
        let dir = self.container(id);
        let (path, new) = (dir.join("config.json"), dir.join("config.json.new"));
        let broken = |error: String| Error::new(format!("{path:?}: {error}"));
        let text = std::fs::read(&path).call(|| format!("read({path:?})"))?;
        let mut spec: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        merge(&mut spec["linux"]["resources"], ch05_lifecycle::resources::describe(limits));
        let text = serde_json::to_vec(&spec).map_err(|error| broken(error.to_string()))?;
        std::fs::write(&new, text).call(|| format!("write({new:?})"))?;
        std::fs::rename(&new, &path).call(|| format!("rename({new:?})"))
    }
}

/// What is there in `new` replaces what was in `old`.
fn merge(old: &mut serde_json::Value, new: serde_json::Value) {
    use serde_json::Value;
    match (old, new) {
        (_, Value::Null) => {}
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                merge(old.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Array(new)) if new.is_empty() => {}
        (old, new) => *old = new,
    }
}
