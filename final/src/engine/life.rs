//! Containers without their command: started, seen to by a shim, stopped, started again.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use ch01_clone::{Error, Gate, Message, Plan, Result};
use ch03_cgroups::Cgroup;
use ch05_lifecycle::{Incarnation, pty};
use ch06_images::Image;
use oci_spec::runtime::Spec;

use super::containers::{Made, RunOptions, remove_cgroup};
use super::record::{Claim, Policy, Record, Status};
use super::teardown::Teardown;
use super::{Engine, names};
use crate::portrait::About;
use crate::shim::life::Life;
use crate::shim::monitor::Monitor;
use crate::shim::wire::{self, Line};
use crate::shim::{self, Handover, time};

/// The first pause before a start by policy, in milliseconds; the next is twice as long.
const BACK_OFF: u64 = 100;

/// The longest one.
const LONGEST: u64 = 60_000;

/// Who has run so long is healthy: the pauses begin anew.
const HEALTHY: Duration = Duration::from_secs(10);

/// Both lines of a user who is attached.
pub struct Attached {
    /// For input and output.
    pub data: Line,
    /// For all else.
    pub control: Line,
}

impl Engine {
    /// Makes a container and does not start it; its id.
    pub fn create(
        &self,
        options: &RunOptions,
        watch: impl FnOnce(About, &Image),
    ) -> Result<String> {
        self.sweep_quickly()?;
        let mut made = self.on_paper(options, watch)?;
        made.record.status = Status::Created;
        made.record.monitor = None;
        made.record.save(made.claim.dir())?;
        self.note(&made.record, "create");
        Ok(made.record.id)
    }

    fn on_paper(&self, options: &RunOptions, watch: impl FnOnce(About, &Image)) -> Result<Made> {
        let id = names::new_id()?;
        self.store.resolve_then(&options.image, |image| {
            watch(self.about(&id), image);
            self.make(options, image, &id)
        })
    }

    /// Runs a container under a shim. Gives its id once its program runs; with `attach`
    /// (see `wire`) also the lines over which it is heard from the first byte on.
    pub fn run_apart(
        &self,
        options: &RunOptions,
        attach: Option<u8>,
        watch: impl FnOnce(About, &Image),
    ) -> Result<(String, Option<Attached>)> {
        self.sweep_quickly()?;
        let made = self.on_paper(options, watch)?;
        let id = made.record.id.clone();
        self.note(&made.record, "create");
        self.under_a_shim(made, attach).map(|attached| (id, attached))
    }

    /// Starts a container that was made, or that has ended.
    pub fn start(&self, text: &str, attach: Option<u8>) -> Result<(Record, Option<Attached>)> {
        let id = self.find(text)?;
        let Some(claim) = self.hold(&id)? else {
            let record = self.known(&id, text)?;
            return Ok((record, None));
        };
        let record = self.known(&id, text)?;
        if record.lives() {
            return Ok((record, None));
        }
        let made = self.made_again(claim, record, true)?;
        let record = made.record.clone();
        Ok((record, self.under_a_shim(made, attach)?))
    }

    /// The record of a container that is there.
    pub fn known(&self, id: &str, text: &str) -> Result<Record> {
        Record::load(&self.container(id))?
            .ok_or_else(|| Error::new(format!("No such container: {text}")))
    }

    /// What is needed to start it (again).
    fn made_again(&self, claim: Claim, mut record: Record, by_user: bool) -> Result<Made> {
        let (spec, cgroup) = self.again_on_paper(claim.dir(), &mut record)?;
        if by_user {
            (record.stopped_by_user, record.restarts) = (false, 0);
        }
        Ok(Made { claim, record, spec, cgroup, clients: None })
    }

    /// Its configuration, and its cgroup: that may have a new place, after the machine was
    /// started anew.
    fn again_on_paper(&self, dir: &Path, record: &mut Record) -> Result<(Spec, Option<Cgroup>)> {
        let path = dir.join("config.json");
        let spec = Spec::load(&path).map_err(|error| Error::new(format!("{path:?}: {error}")))?;
        let cgroup = self.cgroup_for(&record.id, &ch05_lifecycle::limits(&spec)?)?;
        record.cgroup = cgroup.as_ref().map(Cgroup::paths).unwrap_or_default();
        Ok((spec, cgroup))
    }

    fn under_a_shim(&self, made: Made, attach: Option<u8>) -> Result<Option<Attached>> {
        let dir = made.claim.dir().to_owned();
        let (ours, theirs) = match attach {
            Some(flags) => {
                wire::pair().map(|(ours, theirs)| (Some(ours), Some((theirs, flags))))?
            }
            None => (None, None),
        };
        let size = pty::size();
        let waiting = Plan::default().spawn(|gate| self.become_shim(gate, made, theirs, size))?;
        let (child, _) = waiting.start()?;
        // It is not ours to end.
        child.leave();
        let Some(data) = ours else { return Ok(None) };
        // A container that has ended already has said so on the other line.
        let control = match wire::reach(&dir)? {
            Some(line) => line,
            None => wire::pair()?.0,
        };
        Ok(Some(Attached { data, control }))
    }

    /// In the clone: starts the container, and becomes its shim.
    fn become_shim(
        &self,
        gate: &Gate,
        mut made: Made,
        client: Option<(OwnedFd, u8)>,
        size: (u16, u16),
    ) -> Result<Infallible> {
        shim::settle()?;
        made.record.monitor = Incarnation::of(std::process::id() as i32);
        let before = made.record.started;
        let begun = wire::listener(made.claim.dir())
            .and_then(|listener| Ok((self.launch(&mut made, size)?, listener)));
        let (life, listener) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                made.record.started = before;
                return Err(self.not_begun(made, error));
            }
        };
        self.note(&made.record, "start");
        gate.send(&Message::Exec)?;
        let clients = client.iter().map(|(socket, flags)| (socket, *flags)).collect();
        Handover {
            root: &self.root,
            claim: &made.claim,
            listener: &listener,
            life: &life,
            clients,
            back_off: 0,
        }
        .go()
    }

    /// It could not be started. As with docker it stays, unless it was to be removed.
    fn not_begun(&self, made: Made, error: Error) -> Error {
        let Made { claim, mut record, cgroup, .. } = made;
        // Whoever has watched may have been killed: that must not stop us now.
        ch01_clone::steps::unobserve();
        let mut down = Teardown::default();
        down.also(cgroup.as_ref().map_or(Ok(()), remove_cgroup));
        down.also(self.detach(&record));
        if record.auto_remove {
            down.also(self.forget(&record, claim));
        } else {
            record.status = if record.started == 0 { Status::Created } else { Status::Stopped };
            record.exit_code = Some(error.exit_status());
            (record.error, record.monitor, record.init) = (error.to_string(), None, None);
            down.also(record.save(claim.dir()));
        }
        match down.end() {
            Ok(()) => error,
            Err(more) => Error { call: format!("{}; also {more}", error.call), ..error },
        }
    }

    /// In the shim: sees to a container until the end of its last life.
    pub fn mind(
        &self,
        mut monitor: Monitor,
        claim: Claim,
        life: Life,
        mut back_off: u64,
    ) -> Result<()> {
        let began = Instant::now();
        let lived = monitor.live(life);
        let code = lived.map_or(ch01_clone::ExitStatus::Signaled(9).code(), |s| s.code());
        let record = &monitor.record;
        let again = !record.stopped_by_user && record.plan.restart.again(code, record.restarts);
        self.life_ended(&mut monitor.record, &claim, code, again);
        if !again {
            return self.last_end(monitor, claim, code);
        }
        let error = monitor.record.error.clone();
        monitor.tell_end(code, &error);
        back_off = match began.elapsed() >= HEALTHY || back_off == 0 {
            true => BACK_OFF,
            false => (back_off * 2).min(LONGEST),
        };
        if !monitor.wait_until(Instant::now() + Duration::from_millis(back_off))? {
            monitor.record.status = Status::Stopped;
            return self.last_end(monitor, claim, code);
        }
        monitor.record.restarts += 1;
        self.live_again(monitor, claim, back_off)
    }

    /// Starts it once more, and becomes a shim that is as small as the first.
    fn live_again(&self, mut monitor: Monitor, claim: Claim, back_off: u64) -> Result<()> {
        let mut record = monitor.record.clone();
        let (spec, cgroup) = match self.again_on_paper(claim.dir(), &mut record) {
            Ok(paper) => paper,
            Err(error) => return self.give_up(monitor, claim, error),
        };
        let mut made = Made { claim, record, spec, cgroup, clients: None };
        let life = match self.launch(&mut made, (24, 80)) {
            Ok(life) => life,
            Err(error) => {
                // It is empty, and what stays of it the next start takes away.
                let _ = made.cgroup.as_ref().map_or(Ok(()), remove_cgroup);
                let _ = self.detach(&made.record);
                monitor.record = made.record;
                return self.give_up(monitor, made.claim, error);
            }
        };
        self.note(&made.record, "start");
        let clients = monitor.clients.iter().map(|client| (&client.socket, 0)).collect();
        let (root, claim, listener) = (&*self.root, &made.claim, &monitor.listener);
        let never = Handover { root, claim, listener, life: &life, clients, back_off }.go()?;
        match never {}
    }

    /// It cannot be started again: what stops it would stop it the next time, too.
    fn give_up(&self, mut monitor: Monitor, claim: Claim, error: Error) -> Result<()> {
        monitor.record.error = error.to_string();
        monitor.record.exit_code = Some(error.exit_status());
        (monitor.record.status, monitor.record.init) = (Status::Stopped, None);
        self.last_end(monitor, claim, error.exit_status())
    }

    /// What it was is written down before anything else can go wrong.
    fn life_ended(&self, record: &mut Record, claim: &Claim, code: u8, again: bool) {
        let cgroup = match record.cgroup.is_empty() {
            true => None,
            false => Cgroup::from_paths(record.cgroup.clone()).ok(),
        };
        let oom =
            cgroup.as_ref().and_then(|cgroup| cgroup.events().ok()).map_or(0, |e| e.oom_kills);
        record.exit_code = Some(code);
        record.oom_killed = oom > 0;
        record.finished = time::now();
        record.ends();
        let mut down = Teardown::default();
        down.also(record.save(claim.dir()));
        down.also(cgroup.as_ref().map_or(Ok(()), remove_cgroup));
        down.also(self.detach(record));
        (record.init, record.status) =
            (None, if again { Status::Restarting } else { Status::Stopped });
        if !record.auto_remove {
            down.also(record.save(claim.dir()));
        }
        if let Err(error) = down.end() {
            record.error = error.to_string();
        }
        self.note(record, "die");
    }

    /// Nothing of it runs any more: it goes, or its record stays.
    fn last_end(&self, mut monitor: Monitor, claim: Claim, code: u8) -> Result<()> {
        let record = &mut monitor.record;
        record.monitor = None;
        let done = match record.auto_remove {
            true => self.forget(record, claim),
            false => {
                let socket = claim.dir().join(wire::FILE);
                let saved = record.save(claim.dir());
                let _ = std::fs::remove_file(socket);
                // Whoever is told now may start it again at once.
                drop(claim);
                saved
            }
        };
        let error = monitor.record.error.clone();
        monitor.tell_last(code, &error);
        done
    }

    /// After a shim was killed, or the machine was started anew: what its policy says.
    pub(super) fn revive(&self, claim: Claim, mut record: Record) -> Result<()> {
        let code = record.exit_code.unwrap_or_default();
        if record.stopped_by_user || !record.plan.restart.again(code, record.restarts) {
            return Ok(());
        }
        record.restarts += 1;
        let made = self.made_again(claim, record, false)?;
        self.under_a_shim(made, None).map(drop)
    }

    /// After the machine was started anew: starts what shall always run.
    pub fn start_all(&self) -> Result<()> {
        self.sweep()?;
        let mut down = Teardown::default();
        for record in self.list()? {
            if record.status == Status::Stopped && record.plan.restart == Policy::Always {
                down.also(self.start(&record.id, None).map(drop));
            }
        }
        down.end()
    }

    /// A line to the shim of a container that lives; `None` if it does not.
    pub fn reach(&self, id: &str) -> Result<Option<Line>> {
        wire::reach(&self.container(id))
    }

    /// Where a container is kept.
    pub fn place(&self, id: &str) -> impl AsRef<Path> {
        self.container(id)
    }
}
