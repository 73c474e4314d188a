//! Containers: made on paper, run in the foreground, and taken down.

use std::path::PathBuf;

use ch01_clone::{Error, ExitStatus, Result, Signals, step};
use ch03_cgroups::{Cgroup, Hierarchy, limits::Limits};
use ch05_lifecycle::{CreateOptions, Incarnation, Launch, State, Stdio, launch, pty};
use ch06_images::Image;
use ch07_confine::credentials;
use oci_spec::runtime::Spec;

use super::health::{Health, HealthCheck};
use super::points::Wanted;
use super::record::{Claim, LogOptions, Plan, Policy, Record, Status};
use super::teardown::Teardown;
use super::wire::Wire;
use super::{Engine, names, signals, spec};
use crate::portrait::{self, About};
use crate::shim::life::Life;
use crate::shim::local::Local;
use crate::shim::monitor::Monitor;
use crate::shim::{time, wire};

/// What the user asked for: `dockster run` or `create`, parsed.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// The image.
    pub image: String,
    /// The command, if not the image's own.
    pub command: Vec<String>,
    /// What it is entered by, if not what the image says.
    pub entrypoint: Option<Vec<String>>,
    /// Our standard input is the container's.
    pub interactive: bool,
    /// It gets a terminal of its own.
    pub terminal: bool,
    /// Nobody is attached to it.
    pub detached: bool,
    /// It is removed when it ends.
    pub remove: bool,
    /// Its name, if not one that is made up.
    pub name: Option<String>,
    /// Variables, as `NAME=value`.
    pub env: Vec<String>,
    /// Where it starts, if not where the image says.
    pub workdir: Option<PathBuf>,
    /// Who it runs as, if not who the image says.
    pub user: Option<String>,
    /// What is mounted in it besides its root.
    pub mounts: Vec<Wanted>,
    /// Parts of the host's tree and volumes, as they were written.
    pub binds: Vec<String>,
    /// Its hostname, if not the beginning of its id.
    pub hostname: Option<String>,
    /// Whether its root can only be read.
    pub read_only: bool,
    /// Its share of the machine.
    pub limits: Limits,
    /// When it is started again.
    pub restart: Policy,
    /// What stops it, if not what the image says.
    pub stop_signal: Option<String>,
    /// How long that may take, in seconds.
    pub stop_timeout: Option<i64>,
    /// Whether its program gets an `init` as its parent, which is PID 1.
    pub init: bool,
    /// How its output is kept.
    pub log: LogOptions,
    /// How it is asked whether it is well, as far as the user says; `NONE`: not at all.
    pub health: Option<HealthCheck>,
    /// Labels, as `NAME=value`.
    pub labels: Vec<String>,
    /// How it is joined to networks.
    pub wire: Wire,
}

/// A container that is made, on paper.
pub(super) struct Made {
    pub(super) claim: Claim,
    pub(super) record: Record,
    pub(super) spec: Spec,
    pub(super) cgroup: Option<Cgroup>,
    /// Who is connected to it, if it has lived.
    pub(super) clients: Option<Monitor>,
}

/// How a run ended.
pub struct Outcome {
    /// How its first process ended.
    pub status: ExitStatus,
    /// How many of its processes the memory limit killed.
    pub oom_kills: u64,
}

impl Engine {
    /// Runs a container in the foreground. `watch` starts the narration, once
    /// it is known what the container is about.
    pub fn run(&self, options: &RunOptions, watch: impl FnOnce(About, &Image)) -> Result<Outcome> {
        let signals = Signals::catch()?;
        self.sweep_quickly()?;
        let id = names::new_id()?;
        // An image that is recorded as used is not removed any more.
        let mut made = self.store.resolve_then(&options.image, |image| {
            watch(self.about(&id), image);
            self.make(options, image, &id)
        })?;
        let lived =
            self.live(&mut made, || Local::new(signals, options.interactive, options.terminal));
        let oom_kills =
            made.cgroup.as_ref().map_or(0, |cgroup| cgroup.events().map_or(0, |e| e.oom_kills));
        let outcome = lived.map(|status| Outcome { status, oom_kills });
        let ended = self.end(made, &outcome);
        let outcome = outcome.map_err(|error| explain(error, oom_kills, &options.limits))?;
        ended.map(|()| outcome)
    }

    /// Makes a container on paper: from here on it has a directory, a record and a name.
    pub(super) fn make(&self, options: &RunOptions, image: &Image, id: &str) -> Result<Made> {
        let options = &self.resolved(options)?;
        let args = spec::command(options, image)?;
        let uses = self.uses(options, image)?;
        let users: Vec<_> = uses.iter().map(|used| &used.mount).collect();
        let names = self.name_mounts(options, id, &users);
        let mut mounts: Vec<_> = names.iter().chain(users).collect();
        // What lies deeper comes later.
        mounts.sort_by_key(|mount| mount.target.components().count());
        let spec = spec::spec(options, image, id, &args, &mounts)?;
        let mut record = self.record(options, image, id, args)?;
        record.plan.mounts = uses.iter().map(|used| used.point.clone()).collect();
        // From the record on nobody removes a volume that it uses.
        let volumes = record.has_volumes().then(|| self.lock_volumes()).transpose()?;
        let cgroup = self.cgroup_for(id, &options.limits)?;
        record.cgroup = cgroup.as_ref().map(Cgroup::paths).unwrap_or_default();
        let claim = loop {
            match self.claim(&record, &spec)? {
                Some(claim) => break claim,
                // Somebody has thought of the same name at the same moment.
                None if options.name.is_none() => record.name = self.invent_name()?,
                None => return Err(self.conflict(&record.name)),
            }
        };
        let provided = Self::make_name_files(&claim, &mut record).and_then(|()| match &volumes {
            Some(_) => self.provide_volumes(&uses, image),
            None => Ok(()),
        });
        drop(volumes);
        if let Err(error) = provided {
            let mut down = Teardown::default();
            down.also(Err(error));
            down.also(self.forget(&record, claim));
            return down.end().map(|()| unreachable!("it has an error"));
        }
        Ok(Made { claim, record, spec, cgroup, clients: None })
    }

    fn record(
        &self,
        options: &RunOptions,
        image: &Image,
        id: &str,
        command: Vec<String>,
    ) -> Result<Record> {
        let name = match &options.name {
            Some(name) => names::check(name).map(|()| name.clone())?,
            None => self.invent_name()?,
        };
        Ok(Record {
            id: id.to_owned(),
            name,
            image: image.name.clone().unwrap_or_else(|| image.id.clone()),
            image_id: image.id.clone(),
            command,
            created: time::now(),
            status: Status::Creating,
            plan: Plan { health: self.health_check(options, image)?, ..plan(options, image)? },
            started: 0,
            finished: 0,
            restarts: 0,
            stopped_by_user: false,
            paused: false,
            health: None,
            error: String::new(),
            auto_remove: options.remove,
            monitor: Incarnation::of(std::process::id() as i32),
            init: None,
            cgroup: Default::default(),
            exit_code: None,
            oom_killed: false,
        })
    }

    /// What the user says of it, and else the image.
    fn health_check(&self, options: &RunOptions, image: &Image) -> Result<Option<HealthCheck>> {
        let of_image = HealthCheck::of_image(&self.store.config_text(image)?)?;
        Ok(HealthCheck::merge(options.health.clone(), of_image))
    }

    /// A cgroup for it. Without limits, and where we may make none, it does without.
    pub(super) fn cgroup_for(&self, id: &str, limits: &Limits) -> Result<Option<Cgroup>> {
        let hierarchy = Hierarchy::probe();
        let delegated = hierarchy.as_ref().is_ok_and(Hierarchy::delegated);
        match !limits.asked() && !delegated {
            true => Ok(None),
            false => hierarchy?.cgroup(self.cgroup_parent(), id).map(Some),
        }
    }

    /// From here on the container exists: it has a directory, a record and a name;
    /// `None` if somebody has the name.
    fn claim(&self, record: &Record, spec: &Spec) -> Result<Option<Claim>> {
        let (dir, name) = (self.container(&record.id), &record.name);
        let claim = step!(
            "record",
            "What is about to be made is written down first: if this program is \
             killed now, the next command knows what to clear away.",
            "cat {dir:?}/state.json",
            "mkdir({dir:?}), flock, write(state.json), symlink(names/{name})",
            Claim::create(dir.clone()).and_then(|claim| record.save(claim.dir()).map(|()| claim)),
        )?;
        let named = self.take_name(&record.name, &record.id).and_then(|named| {
            let path = claim.dir().join("config.json");
            spec.save(&path).map_err(|error| Error::new(format!("write({path:?}): {error}")))?;
            Ok(named)
        });
        match named {
            Ok(true) => Ok(Some(claim)),
            other => {
                let mut down = Teardown::default();
                down.also(self.free_name(&record.name, &record.id));
                down.also(claim.remove());
                down.end().and(other.map(|_| None))
            }
        }
    }

    /// In the foreground: we are its monitor ourselves, and attached by `local`.
    pub(super) fn live(
        &self,
        made: &mut Made,
        local: impl FnOnce() -> Result<Local>,
    ) -> Result<ExitStatus> {
        let listener = wire::listener(made.claim.dir())?;
        self.note(&made.record, "create");
        let life = self.launch(made, pty::size())?;
        self.note(&made.record, "start");
        let mut monitor = Monitor::new(made.record.clone(), made.claim.dir(), listener);
        monitor.attach(local()?);
        let lived = monitor.live(life);
        // What others have changed meanwhile.
        made.record = monitor.record.clone();
        made.clients = Some(monitor);
        lived
    }

    /// Starts the program of a container that is made; it is recorded as running.
    pub(super) fn launch(&self, made: &mut Made, (rows, columns): (u16, u16)) -> Result<Life> {
        let Made { claim, record, spec, cgroup, .. } = made;
        let spec = &self.joined(record, spec)?;
        if let Some(cgroup) = cgroup {
            cgroup.create(&ch05_lifecycle::limits(spec)?)?;
        }
        let stdio = match record.plan.terminal {
            true => Stdio::Terminal { rows, columns },
            false => Stdio::Pipes { stdin: record.plan.stdin },
        };
        let tree = self.tree(&record.plan.layers, claim.dir(), record.auto_remove)?;
        let state = State {
            oci_version: spec.version().clone(),
            id: record.id.clone(),
            status: ch05_lifecycle::Status::Creating,
            pid: 0,
            bundle: claim.dir().to_owned(),
            annotations: Default::default(),
        };
        let cgroup = cgroup.as_ref();
        let hostname = spec.hostname().clone().unwrap_or_default();
        let options = CreateOptions { init: record.plan.init, ..CreateOptions::default() };
        let what = Launch {
            spec,
            tree,
            cgroup,
            stdio,
            state,
            door: None,
            memory_policy: None,
            options: &options,
        };
        let started = launch(what, credentials::prepare, |pid| {
            record.init = Incarnation::of(pid.as_raw());
            record.status = Status::Running;
            record.started = time::now();
            (record.exit_code, record.oom_killed, record.paused) = (None, false, false);
            record.error = String::new();
            record.health = record.plan.health.as_ref().map(|_| Health::default());
            record.save(claim.dir())?;
            self.attach(record, &hostname, pid.as_raw())
        })?;
        Life::of(started)
    }

    /// Takes down what was made, and keeps the record of a container that ran
    /// and shall stay. What cannot be taken down now stays recorded, too: the
    /// next command tries again.
    pub(super) fn end(&self, made: Made, outcome: &Result<Outcome>) -> Result<()> {
        let Made { claim, mut record, cgroup, clients, .. } = made;
        let code = outcome.as_ref().map_or(0, |outcome| outcome.status.code());
        if outcome.is_ok() {
            self.note(&Record { exit_code: Some(code), ..record.clone() }, "die");
        }
        let stays = match outcome {
            Ok(outcome) if !record.auto_remove => {
                record.exit_code = Some(code);
                record.oom_killed = outcome.oom_kills > 0;
                record.finished = time::now();
                record.save(claim.dir())?;
                true
            }
            _ => false,
        };
        let mut down = Teardown::default();
        down.also(cgroup.as_ref().map_or(Ok(()), remove_cgroup));
        down.also(self.detach(&record));
        down.end()?;
        let error = record.error.clone();
        if stays {
            record.status = Status::Stopped;
            record.ends();
            record.save(claim.dir())?;
        } else {
            self.forget(&record, claim)?;
        }
        if let Some(mut clients) = clients {
            clients.tell_last(code, &error);
        }
        Ok(())
    }

    /// Nothing is left of it, nor of its nameless volumes.
    pub(super) fn forget(&self, record: &Record, claim: Claim) -> Result<()> {
        if record.at_rest() {
            // Whoever is killed from here on leaves what the next command takes further.
            Record { status: Status::Removing, ..record.clone() }.save(claim.dir())?;
        }
        self.remove_anonymous(record)?;
        let (name, dir) = (&record.name, claim.dir().display().to_string());
        step!(
            "forget",
            "The name is free again, and what the container wrote goes with its directory.",
            "ls {dir}",
            "unlink(names/{name}), rm -r {dir}",
            self.free_name(name, &record.id).and_then(|()| claim.remove()),
        )?;
        self.note(record, "destroy");
        Ok(())
    }

    pub(super) fn about(&self, id: &str) -> About {
        About {
            root: self.container(id).join("merged").display().to_string(),
            host: crate::rootless::witness(),
        }
    }
}

/// What does not change from one start to the next.
fn plan(options: &RunOptions, image: &Image) -> Result<Plan> {
    let config = image.config.config().clone().unwrap_or_default();
    let stop = options.stop_signal.clone().or(config.stop_signal().clone());
    let mut labels: std::collections::BTreeMap<_, _> =
        config.labels().clone().unwrap_or_default().into_iter().collect();
    for label in &options.labels {
        let (name, value) = label.split_once('=').unwrap_or((label, ""));
        labels.insert(name.to_owned(), value.to_owned());
    }
    let entrypoint = options.entrypoint.clone().or(config.entrypoint().clone());
    Ok(Plan {
        layers: image.layers.clone(),
        terminal: options.terminal,
        stdin: options.interactive,
        stdin_once: options.interactive && !options.detached,
        restart: options.restart,
        stop_signal: stop.map_or(Ok(nix::libc::SIGTERM), |name| signals::number(&name))?,
        stop_timeout: options.stop_timeout,
        init: options.init,
        log: options.log,
        health: None,
        wire: options.wire.with_image(image),
        labels,
        entrypoint: entrypoint.unwrap_or_default(),
        binds: options.binds.clone(),
        mounts: Vec::new(),
        env: options.env.clone(),
        user: options.user.clone(),
        workdir: options.workdir.clone(),
    })
}

/// Whoever is left in it ends, and it goes.
pub(super) fn remove_cgroup(cgroup: &Cgroup) -> Result<()> {
    cgroup.kill().and_then(|()| cgroup.remove_and_prune())
}

/// A child that died before it was anything may have had too little memory for that.
fn explain(error: Error, oom_kills: u64, limits: &Limits) -> Error {
    match (oom_kills, limits.memory) {
        (1.., Some(bytes)) => Error::new(format!(
            "{error}: the memory limit of {bytes} bytes is too small to start in"
        ))
        .hint("give it more with --memory"),
        _ => error,
    }
}

/// The onlooker that draws portraits, for an image that is made to be looked at.
pub fn portrait_of(
    about: About,
    image: &Image,
    style: portrait::Style,
    pauses: bool,
) -> Option<ch01_clone::narrate::Onlooker> {
    let config = image.config.config().clone().unwrap_or_default();
    let posing =
        config.labels().as_ref().is_some_and(|labels| labels.contains_key(super::images::PORTRAIT));
    (posing || pauses).then(|| portrait::onlooker(about, style, posing.then_some("execve")))
}
