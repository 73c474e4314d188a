//! Containers: run, list, remove, and clear away what was abandoned.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use ch01_clone::{Error, ExitStatus, Result, Signals, step};
use ch02_chroot::{Mount, Tree};
use ch03_cgroups::{Cgroup, Hierarchy, limits::Limits};
use ch05_lifecycle::{Incarnation, Launch, Stdio, credentials, launch, pty, relay};
use ch06_images::Image;
use oci_spec::runtime::Spec;

use super::record::{Claim, Record, Status};
use super::teardown::Teardown;
use super::{Engine, names, spec};
use crate::portrait::{self, About};

/// What the user asked for: `dockster run`, parsed.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// The image.
    pub image: String,
    /// The command, if not the image's own.
    pub command: Vec<String>,
    /// Our standard input is the container's.
    pub interactive: bool,
    /// It gets a terminal of its own.
    pub terminal: bool,
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
    /// Parts of the host's tree that it sees.
    pub volumes: Vec<Mount>,
    /// Its hostname, if not the beginning of its id.
    pub hostname: Option<String>,
    /// Whether its root can only be read.
    pub read_only: bool,
    /// Empty file systems that it gets.
    pub tmpfs: Vec<Mount>,
    /// Its share of the machine.
    pub limits: Limits,
}

/// A container that is made, on paper.
struct Made {
    claim: Claim,
    record: Record,
    spec: Spec,
    cgroup: Option<Cgroup>,
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
        self.sweep()?;
        let id = names::new_id()?;
        // An image that is recorded as used is not removed any more.
        let (image, mut made) = self.store.resolve_then(&options.image, |image| {
            watch(self.about(&id), image);
            Ok((image.clone(), self.make(options, image, &id)?))
        })?;
        let lived = self.live(options, &image, &mut made, signals);
        let oom_kills =
            made.cgroup.as_ref().map_or(0, |cgroup| cgroup.events().map_or(0, |e| e.oom_kills));
        let outcome = lived.map(|status| Outcome { status, oom_kills });
        let ended = self.end(made, &outcome);
        let outcome = outcome.map_err(|error| explain(error, oom_kills, &options.limits))?;
        ended.map(|()| outcome)
    }

    /// Makes a container on paper: from here on it has a directory, a record and a name.
    fn make(&self, options: &RunOptions, image: &Image, id: &str) -> Result<Made> {
        let args = spec::command(options, image)?;
        let spec = spec::spec(options, image, id, &args)?;
        let mut record = self.record(options, image, id, args)?;
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
        Ok(Made { claim, record, spec, cgroup })
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
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            status: Status::Creating,
            auto_remove: options.remove,
            monitor: Incarnation::of(std::process::id() as i32),
            init: None,
            cgroup: Default::default(),
            exit_code: None,
            oom_killed: false,
        })
    }

    /// A cgroup for it. Without limits, and where we may make none, it does without.
    fn cgroup_for(&self, id: &str, limits: &Limits) -> Result<Option<Cgroup>> {
        let hierarchy = Hierarchy::probe();
        let delegated = hierarchy.as_ref().is_ok_and(Hierarchy::delegated);
        match *limits == Limits::default() && !delegated {
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

    fn live(
        &self,
        options: &RunOptions,
        image: &Image,
        made: &mut Made,
        signals: Signals,
    ) -> Result<ExitStatus> {
        let Made { claim, record, spec, cgroup } = made;
        if let Some(cgroup) = cgroup {
            cgroup.create(&ch05_lifecycle::limits(spec)?)?;
        }
        let (rows, columns) = pty::size();
        let stdio = match options.terminal {
            true => Stdio::Terminal { rows, columns },
            false => Stdio::Pipes { stdin: options.interactive },
        };
        let tree = Tree::Overlay {
            lowers: image.layers.clone(),
            kept: Some(claim.dir().to_owned()),
            volatile: record.auto_remove,
        };
        let what = Launch { spec, tree, cgroup: cgroup.as_ref(), stdio };
        let started = launch(what, credentials::prepare, |pid| {
            record.init = Incarnation::of(pid.as_raw());
            record.status = Status::Running;
            record.save(claim.dir())
        })?;
        relay(started, signals, options.interactive)
    }

    /// Takes down what was made, and keeps the record of a container that ran
    /// and shall stay. What cannot be taken down now stays recorded, too: the
    /// next command tries again.
    fn end(&self, made: Made, outcome: &Result<Outcome>) -> Result<()> {
        let Made { claim, mut record, cgroup, .. } = made;
        let stays = match outcome {
            Ok(outcome) if !record.auto_remove => {
                record.exit_code = Some(outcome.status.code());
                record.oom_killed = outcome.oom_kills > 0;
                record.save(claim.dir())?;
                true
            }
            _ => false,
        };
        cgroup.as_ref().map_or(Ok(()), remove_cgroup)?;
        if !stays {
            return self.forget(&record, claim);
        }
        record.status = Status::Stopped;
        record.save(claim.dir())
    }

    /// Nothing is left of it.
    pub(super) fn forget(&self, record: &Record, claim: Claim) -> Result<()> {
        let (name, dir) = (&record.name, claim.dir().display().to_string());
        step!(
            "forget",
            "The name is free again, and what the container wrote goes with its directory.",
            "ls {dir}",
            "unlink(names/{name}), rm -r {dir}",
            self.free_name(name, &record.id).and_then(|()| claim.remove()),
        )
    }

    fn about(&self, id: &str) -> About {
        About {
            root: self.container(id).join("merged").display().to_string(),
            host: crate::rootless::witness(),
        }
    }
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
