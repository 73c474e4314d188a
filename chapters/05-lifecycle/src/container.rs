//! What can be done with a container that exists.
//!
//! ```text
//!             create               start              the program ends
//!   (nothing) ──────► created ─────────────► running ─────────────────► stopped
//!                        │                    ▲   │                        │
//!                        │             resume │   │ pause                  │
//!                        │                    │   ▼                        │
//!                        │                   paused                        │
//!                        └───────────────────── delete ◄───────────────────┘
//! ```

use std::fs;
use std::time::SystemTime;

use ch01_clone::{Context, Error, Gate, Message, Result, step};
use ch03_cgroups::Cgroup;
use nix::unistd::Pid;
use oci_spec::runtime::{LinuxResources, Spec};

use crate::bundle;
use crate::door;
use crate::exec::{Exec, exec};
use crate::hooks::{self, Moment};
use crate::incarnation::Incarnation;
use crate::launch::Started;
use crate::resources::limits_of;
use crate::runtime::{CreateOptions, Runtime};
use crate::state::{Note, Place, State, Status};

/// One container of a [`Runtime`].
pub struct Container<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) id: String,
    pub(crate) place: Place,
}

impl Container<'_> {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How it stands now: looked at, not remembered.
    pub fn state(&self) -> Result<State> {
        let note = self.note()?;
        Ok(self.describe(&note, self.place.status(Some(&note))))
    }

    pub(crate) fn describe(&self, note: &Note, status: Status) -> State {
        let pid = note.init.filter(|_| status != Status::Stopped).map_or(0, |init| init.pid);
        State {
            oci_version: note.oci_version.clone(),
            id: self.id.clone(),
            status,
            pid,
            bundle: note.bundle.clone(),
            annotations: note.annotations.clone(),
        }
    }

    /// Its configuration, as it was when it was created.
    pub fn spec(&self) -> Result<Spec> {
        self.place.spec()
    }

    /// When it was created.
    pub fn created(&self) -> Result<SystemTime> {
        Ok(self.note()?.created)
    }

    /// The user who created it: a uid.
    pub fn owner(&self) -> Result<u32> {
        self.place.owner()
    }

    fn note(&self) -> Result<Note> {
        self.place.note()?.ok_or_else(|| Error::new("container does not exist"))
    }

    /// Lets its program go.
    pub fn start(&self) -> Result<()> {
        let lock = self.place.lock()?;
        match self.state()?.status {
            Status::Created => {}
            Status::Stopped => return Err(Error::new("cannot start a container that has stopped")),
            _ => return Err(Error::new("cannot start an already running container")),
        }
        let path = self.place.door();
        // ANCHOR: knock
        let gate = door::knock(&path)?;
        // From here on it counts as started, and nobody else can knock.
        fs::remove_file(&path).call(|| format!("unlink({path:?})"))?;
        // ANCHOR_END: knock
        step!(
            "start",
            "The program waits at the second gate, inside, with everything done but \
             the last steps. Whoever knocks lets it go, and hears how it went.",
            "ls STATE",
            "connect(start.sock), Go",
            answered(&gate),
        )?;
        drop(lock);
        match self.note()?.hooks {
            true => self.after_start(&self.spec()?),
            false => Ok(()),
        }
    }

    /// Hooks that come too late to stop it.
    pub(crate) fn after_start(&self, spec: &Spec) -> Result<()> {
        if !Moment::Poststart.of(spec.hooks()).is_empty() {
            let state = self.describe(&self.note()?, Status::Running);
            self.runtime.warn_all(hooks::run_all(spec.hooks(), Moment::Poststart, &state));
        }
        Ok(())
    }

    /// Sends its first process a signal, or with `all` every process in it.
    pub fn kill(&self, signal: i32, all: bool) -> Result<()> {
        let note = self.note()?;
        if all {
            return self.kill_all(&note, signal);
        }
        match note.init {
            Some(init) if init.alive() => init.signal(signal),
            _ => Err(Error::new("container not running")),
        }
    }

    fn kill_all(&self, note: &Note, signal: i32) -> Result<()> {
        let Some(cgroup) = cgroup_from(note)? else {
            return note
                .init
                .filter(|init| init.alive())
                .map_or(Ok(()), |init| init.signal(signal));
        };
        if signal == libc::SIGKILL {
            return cgroup.kill();
        }
        for pid in cgroup.procs()? {
            // One that has ended meanwhile needs no signal.
            Incarnation::of(pid.as_raw()).map_or(Ok(()), |process| process.signal(signal))?;
        }
        Ok(())
    }

    /// Removes what is left of it; with `force` also one that runs.
    pub fn delete(&self, force: bool) -> Result<()> {
        let lock = self.place.lock()?;
        let note = match force {
            true => self.place.note_or_guess(&self.id),
            false => self.place.note()?,
        };
        let status = self.place.status(note.as_ref());
        if !force && matches!(status, Status::Created | Status::Running | Status::Paused) {
            return Err(Error::new(format!(
                "cannot delete container {} that is not stopped: {status}",
                self.id
            )));
        }
        let Some(note) = note else { return self.place.remove() };
        let hooks = note.hooks.then(|| self.spec().ok()?.hooks().clone()).flatten();
        let state = self.describe(&note, Status::Stopped);
        self.clear_away(&note)?;
        drop(lock);
        self.runtime.warn_all(hooks::run_all(&hooks, Moment::Poststop, &state));
        Ok(())
    }

    /// Ends its processes, and takes down what was made, in reverse.
    pub(crate) fn clear_away(&self, note: &Note) -> Result<()> {
        let cgroup = cgroup_from(note)?;
        let killed = cgroup.as_ref().map_or(Ok(()), Cgroup::kill);
        if let Some(init) = note.init {
            init.kill()?;
        }
        killed?;
        cgroup.as_ref().map_or(Ok(()), Cgroup::remove)?;
        self.place.remove()
    }

    /// Starts one more process in it. Gives the process (a child of ours) once it runs.
    pub fn exec(&self, what: &Exec<'_>, options: &CreateOptions) -> Result<Started> {
        let note = self.note()?;
        let (init, cgroup) = match (self.place.status(Some(&note)), note.init) {
            // In a paused one it stands still like all others until that is resumed.
            (Status::Running | Status::Created | Status::Paused, Some(init)) => {
                (init, cgroup_from(&note)?)
            }
            _ => return Err(Error::new("cannot exec in a stopped container")),
        };
        bundle::check_process(what.process)?;
        let started = exec(what, init, cgroup.as_ref(), self.runtime.credentials)?;
        options.hand_over(&started)?;
        Ok(started)
    }

    /// Stops all its processes where they are.
    pub fn pause(&self) -> Result<()> {
        let _lock = self.place.lock()?;
        match self.state()?.status {
            Status::Running | Status::Created => self.own_cgroup()?.freeze(),
            status => Err(Error::new(format!("container not running: {status}"))),
        }
    }

    /// Lets them go on.
    pub fn resume(&self) -> Result<()> {
        let _lock = self.place.lock()?;
        match self.state()?.status {
            Status::Paused => self.own_cgroup()?.thaw(),
            _ => Err(Error::new("container not paused")),
        }
    }

    /// Changes limits while it runs; what is not given stays.
    pub fn update(&self, resources: &LinuxResources) -> Result<()> {
        let _lock = self.place.lock()?;
        match self.state()?.status {
            Status::Stopped => Err(Error::new("container not running")),
            _ => self.own_cgroup()?.update(&limits_of(resources)?),
        }
    }

    /// Its processes, as the host numbers them.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        let note = self.note()?;
        match cgroup_from(&note)? {
            Some(cgroup) => cgroup.procs(),
            None => {
                let init = note.init.filter(|init| init.alive());
                Ok(init.map(|init| Pid::from_raw(init.pid)).into_iter().collect())
            }
        }
    }

    /// Its cgroup, if it has one.
    pub fn cgroup(&self) -> Result<Option<Cgroup>> {
        cgroup_from(&self.note()?)
    }

    fn own_cgroup(&self) -> Result<Cgroup> {
        self.cgroup()?.ok_or_else(|| Error::new("the container has no cgroup of its own"))
    }
}

fn cgroup_from(note: &Note) -> Result<Option<Cgroup>> {
    match note.cgroup.is_empty() {
        true => Ok(None),
        false => Cgroup::from_paths(note.cgroup.clone()).map(Some),
    }
}

/// Says `Go`, and listens until its execve or until it says why not.
fn answered(gate: &Gate) -> Result<()> {
    gate.send(&Message::Go)?;
    let mut exec = false;
    loop {
        match gate.receive()? {
            // ANCHOR: answered
            Some(Message::Exec) => exec = true,
            Some(Message::Failed(error)) => return Err(error),
            None if exec => return Ok(()),
            None => return Err(Error::new("the container's process died before execve")),
            // ANCHOR_END: answered
            Some(_) => return Err(Error::new("the container's process answered out of turn")),
        }
    }
}
