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
use std::os::fd::OwnedFd;

use ch01_clone::{Context, Error, Gate, Message, Result, step};
use ch03_cgroups::Cgroup;
use oci_spec::runtime::Spec;

use crate::hooks::{self, Moment};
use crate::incarnation::Incarnation;
use crate::runtime::Runtime;
use crate::state::{Note, Place, State, Status};
use crate::{door, supervisor};

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

    pub(crate) fn note(&self) -> Result<Note> {
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
            self.answered(&gate),
        )?;
        drop(lock);
        match self.note()?.hooks {
            true => self.after_start(&self.spec()?),
            false => Ok(()),
        }
    }

    /// Says `Go`, and listens until its execve or until it says why not.
    fn answered(&self, gate: &Gate) -> Result<()> {
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
                Some(Message::Ready(Some(listener))) => {
                    let given = self.give_to_supervisor(listener);
                    gate.send(&given.map_or_else(Message::Failed, |()| Message::Go))?;
                }
                Some(_) => return Err(Error::new("the container's process answered out of turn")),
            }
        }
    }

    fn give_to_supervisor(&self, listener: OwnedFd) -> Result<()> {
        let state = self.describe(&self.note()?, Status::Created);
        supervisor::give(&self.spec()?, state.pid, &state, listener)
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

    /// Removes what is left of it; with `force` also one that runs. One whose program was
    /// never started ends with it.
    pub fn delete(&self, force: bool) -> Result<()> {
        let lock = self.place.lock()?;
        let note = match force {
            true => self.place.note_or_guess(&self.id),
            false => self.place.note()?,
        };
        let status = self.place.status(note.as_ref());
        if !force && matches!(status, Status::Running | Status::Paused) {
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
        // ANCHOR: clear
        let cgroup = cgroup_from(note)?;
        let killed = cgroup.as_ref().map_or(Ok(()), Cgroup::kill);
        if let Some(init) = note.init {
            init.kill()?;
        }
        killed?;
        cgroup.as_ref().map_or(Ok(()), Cgroup::remove)?;
        self.place.remove()
        // ANCHOR_END: clear
    }
}

pub(crate) fn cgroup_from(note: &Note) -> Result<Option<Cgroup>> {
    match note.cgroup.is_empty() {
        true => Ok(None),
        false => Cgroup::from_paths(note.cgroup.clone()).map(Some),
    }
}
