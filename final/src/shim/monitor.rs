//! The loop of whoever is responsible for a container that runs: its output to the log
//! and to whoever is attached, their input to it, and what they ask for.
//!
//! One thread and poll(2). Output is read only when all who are attached have taken
//! what was read before: a slow reader slows the container, and nothing is lost. One
//! who is gone is forgotten at once.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ch01_clone::{Error, ExitStatus, Result};

use super::checks::Checks;
use super::clients::Client;
use super::life::Life;
use super::local::Local;
use super::log::Log;
use super::streams::nonblocking;
use super::wire;
use crate::engine::record::Record;

/// Once its first process has ended: how long somebody else may keep its output open.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// Who sees to a container.
pub struct Monitor {
    /// Its record; whoever changes it saves it.
    pub record: Record,
    pub(super) dir: PathBuf,
    /// Where users connect.
    pub listener: OwnedFd,
    /// Who is connected.
    pub clients: Vec<Client>,
    pub(super) local: Option<Local>,
    pub(super) log: Log,
    pub(super) life: Option<Life>,
    pub(super) ended: Option<Instant>,
    pub(super) checks: Option<Checks>,
    pub(super) to_input: Vec<u8>,
    pub(super) input_ends: bool,
    pub(super) buffer: Vec<u8>,
    /// How it ended, once that is all that is left to say.
    pub(super) last: Option<Vec<u8>>,
    /// How much is read at once just now.
    pub(super) chunk: usize,
    pub(super) closed_at: Option<Instant>,
    /// The signal by which whoever is attached and impatient has ended it.
    pub stopped: Option<i32>,
}

impl Monitor {
    /// Of a container with this record, in this directory.
    pub fn new(record: Record, dir: &Path, listener: OwnedFd) -> Self {
        let log = Log::open(dir, record.plan.log);
        Self {
            record,
            dir: dir.to_owned(),
            listener,
            clients: Vec::new(),
            local: None,
            log,
            life: None,
            ended: None,
            checks: None,
            to_input: Vec::new(),
            input_ends: false,
            buffer: Vec::new(),
            last: None,
            chunk: 2048,
            closed_at: None,
            stopped: None,
        }
    }

    /// We are attached ourselves.
    pub fn attach(&mut self, local: Local) {
        self.local = Some(local);
    }

    /// Carries everything until the program has ended and all that it has said is with
    /// those who want it.
    pub fn live(&mut self, life: Life) -> Result<ExitStatus> {
        if let Some(input) = &life.input {
            nonblocking(input);
        }
        (self.life, self.ended, self.closed_at) = (Some(life), None, None);
        self.input_ends = false;
        self.checks = self.record.plan.health.clone().map(Checks::new);
        while !self.over() {
            self.turn(None)?;
        }
        let life = self.life.take().ok_or_else(|| Error::new("it does not live"))?;
        (self.local, self.checks) = (None, None);
        if let Some(lost) = self.log.lost() {
            self.record.error = lost;
        }
        life.init.reap()
    }

    /// Serves users until then, while nothing runs; whether it came to that (and not to a
    /// `stop` before).
    pub fn wait_until(&mut self, then: Instant) -> Result<bool> {
        while Instant::now() < then {
            if self.record.stopped_by_user {
                return Ok(false);
            }
            self.turn(Some(then.saturating_duration_since(Instant::now())))?;
        }
        Ok(!self.record.stopped_by_user)
    }

    pub(super) fn over(&self) -> bool {
        let Some(life) = &self.life else { return true };
        let Some(ended) = self.ended else { return false };
        let drained = life.output.is_none() && life.errors.is_none();
        let nobody_speaks =
            ended.elapsed() > GRACE && self.closed_at.is_none_or(|at| at.elapsed() > GRACE);
        (drained || nobody_speaks)
            && !self.backlog()
            && self.local.as_ref().is_none_or(|l| l.pending.is_empty())
    }

    /// Whether somebody attached has not yet taken what was said before.
    pub(super) fn backlog(&self) -> bool {
        self.clients
            .iter()
            .any(|client| client.flags & wire::OUTPUT != 0 && !client.pending.is_empty())
            || self.local.as_ref().is_some_and(|local| !local.pending.is_empty())
    }
}
