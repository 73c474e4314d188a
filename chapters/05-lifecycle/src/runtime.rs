//! The verbs of a life: create, start, kill, delete.
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
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ch01_clone::{Context, Error, Gate, Message, Result, step};
use ch02_chroot::Tree;
use ch03_cgroups::Cgroup;
use nix::unistd::Pid;
use oci_spec::runtime::{LinuxResources, Process, Spec};

use crate::bundle::{self, Bundle};
use crate::credentials::Credentials;
use crate::door;
use crate::exec::{Exec, exec};
use crate::hooks::{self, Moment};
use crate::incarnation::Incarnation;
use crate::launch::{Door, Launch, Started, Stdio, Streams, launch};
use crate::resources::{cgroup_of, limits, limits_of};
use crate::state::{Lock, Note, Place, State, Status};

/// Where containers are kept, and how credentials are changed.
pub struct Runtime {
    /// The directory of all states (`--root`).
    pub root: PathBuf,
    /// Prepares the change of credentials: this chapter's, or chapter 7's.
    pub credentials: Credentials,
    /// Whether cgroups are asked of systemd (`--systemd-cgroup`).
    pub systemd: bool,
    /// Hears of failures that stop nothing: those of hooks that come too late for it.
    pub warn: fn(&Error),
}

/// What `create` is told besides the bundle.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// The socket to which the master side of the terminal is sent.
    pub console_socket: Option<PathBuf>,
    /// The file in which the pid is written.
    pub pid_file: Option<PathBuf>,
    /// How many descriptors from 3 on the program keeps.
    pub preserve_fds: u32,
}

/// One container of a [`Runtime`].
pub struct Container<'a> {
    runtime: &'a Runtime,
    id: String,
    place: Place,
}

impl Runtime {
    /// Makes a container of a bundle. Its program waits for [`Container::start`].
    pub fn create(
        &self,
        id: &str,
        bundle: &Path,
        options: &CreateOptions,
    ) -> Result<Container<'_>> {
        let bundle = Bundle::load(bundle)?;
        let stdio = stdio(bundle.spec.process().as_ref(), options)?;
        let (container, started) = self.make(id, &bundle, stdio, options, true)?;
        started.child.leave();
        Ok(container)
    }

    /// Makes a container and lets its program go at once; it is our child.
    pub fn run(
        &self,
        id: &str,
        bundle: &Bundle,
        stdio: Stdio,
        options: &CreateOptions,
    ) -> Result<(Container<'_>, Started)> {
        let (container, started) = self.make(id, bundle, stdio, options, false)?;
        container.after_start()?;
        Ok((container, started))
    }

    /// A container that exists.
    pub fn open(&self, id: &str) -> Result<Container<'_>> {
        check_id(id)?;
        let place = Place::find(&self.root, id)?;
        Ok(Container { runtime: self, id: id.to_owned(), place })
    }

    /// The ids of all containers, sorted.
    pub fn ids(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.call(|| format!("open({:?})", self.root))?,
        };
        let directories = entries.flatten().filter(|entry| entry.path().is_dir());
        let mut ids: Vec<_> =
            directories.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        ids.sort();
        Ok(ids)
    }

    /// A directory, a note, a cgroup, a process: each is written down before it is made.
    fn make(
        &self,
        id: &str,
        bundle: &Bundle,
        stdio: Stdio,
        options: &CreateOptions,
        waits: bool,
    ) -> Result<(Container<'_>, Started)> {
        check_id(id)?;
        let cgroup = cgroup_of(&bundle.spec, id, self.systemd)?;
        let place = Place::make(&self.root, id)?;
        let lock = place.lock()?;
        let container = Container { runtime: self, id: id.to_owned(), place };
        let mut note = Note {
            id: id.to_owned(),
            bundle: bundle.dir.clone(),
            created: SystemTime::now(),
            init: None,
            cgroup: cgroup.as_ref().map(Cgroup::paths).unwrap_or_default(),
        };
        let made = container.fill(
            &mut note,
            bundle,
            cgroup.as_ref(),
            stdio,
            options,
            waits.then_some(&lock),
        );
        match made {
            Ok(started) => Ok((container, started)),
            Err(error) => {
                // Nothing of it stays; why it could not be made is what the user shall hear.
                let state = container.describe(&note, Status::Stopped, Some(&bundle.spec));
                let _ = container.clear_away(&note);
                self.warn_all(hooks::run_all(bundle.spec.hooks(), Moment::Poststop, &state));
                Err(error)
            }
        }
    }

    fn warn_all(&self, errors: Vec<Error>) {
        errors.iter().for_each(self.warn);
    }
}

impl Container<'_> {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn fill(
        &self,
        note: &mut Note,
        bundle: &Bundle,
        cgroup: Option<&Cgroup>,
        stdio: Stdio,
        options: &CreateOptions,
        waits: Option<&Lock>,
    ) -> Result<Started> {
        let spec = &bundle.spec;
        let dir = self.place.door();
        step!(
            "note",
            "What is about to be made is written down first: if the runtime is killed \
             now, `delete` knows what to clear away.",
            "cat STATE/state.json",
            "write({dir:?}/../state.json)",
            self.place.save(note).and_then(|()| self.place.keep_spec(spec)),
        )?;
        if let Some(cgroup) = cgroup {
            let provided = limits(spec).and_then(|limits| cgroup.provide(&limits));
            // Nothing of it is left then; what is there is another's, and not ours to end.
            provided.inspect_err(|_| note.cgroup.clear())?;
        }
        let what = Launch {
            spec,
            tree: Tree::Directory(bundle.rootfs()?),
            cgroup,
            stdio,
            state: self.describe(note, Status::Creating, Some(spec)),
            door: waits.map(|lock| self.door(lock)).transpose()?,
            preserve_fds: options.preserve_fds,
        };
        let started = launch(what, self.runtime.credentials, |pid| {
            note.init = Incarnation::of(pid.as_raw());
            self.place.save(note)
        })?;
        if let (Some(socket), Streams::Terminal(master)) =
            (&options.console_socket, &started.streams)
        {
            door::send_terminal(socket, master.as_fd())?;
        }
        options.pid_file.as_deref().map_or(Ok(()), |path| write_pid(path, started.child.pid()))?;
        Ok(started)
    }

    /// The second gate.
    fn door(&self, lock: &Lock) -> Result<Door> {
        let socket = door::make(&self.place.door())?;
        Ok(Door { socket, lock: lock.as_raw_fd() })
    }

    /// How it stands now: looked at, not remembered.
    pub fn state(&self) -> Result<State> {
        let note = self.place.note()?;
        let status = self.place.status(note.as_ref());
        match note {
            Some(note) => Ok(self.describe(&note, status, self.place.spec().ok().as_ref())),
            None => Err(Error::new("container does not exist")),
        }
    }

    fn describe(&self, note: &Note, status: Status, spec: Option<&Spec>) -> State {
        let pid = note.init.filter(|_| status != Status::Stopped).map_or(0, |init| init.pid);
        State {
            oci_version: spec.map_or("1.3.0", |spec| spec.version()).to_owned(),
            id: self.id.clone(),
            status,
            pid,
            bundle: note.bundle.clone(),
            annotations: spec
                .and_then(|spec| spec.annotations().clone())
                .unwrap_or_default()
                .into_iter()
                .collect(),
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
        let gate = door::knock(&path)?;
        // From here on it counts as started, and nobody else can knock.
        fs::remove_file(&path).call(|| format!("unlink({path:?})"))?;
        step!(
            "start",
            "The program waits at the second gate, inside, with everything done but \
             the last steps. Whoever knocks lets it go, and hears how it went.",
            "ls STATE",
            "connect(start.sock), Go",
            answered(&gate),
        )?;
        drop(lock);
        self.after_start()
    }

    /// Hooks that come too late to stop it.
    fn after_start(&self) -> Result<()> {
        let spec = self.spec()?;
        if !Moment::Poststart.of(spec.hooks()).is_empty() {
            let state = self.describe(&self.note()?, Status::Running, Some(&spec));
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
        let spec = self.spec().ok();
        let state = self.describe(&note, Status::Stopped, spec.as_ref());
        self.clear_away(&note)?;
        drop(lock);
        let hooks = spec.and_then(|spec| spec.hooks().clone());
        self.runtime.warn_all(hooks::run_all(&hooks, Moment::Poststop, &state));
        Ok(())
    }

    /// Ends its processes, and takes down what was made, in reverse.
    fn clear_away(&self, note: &Note) -> Result<()> {
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
        if let (Some(socket), Streams::Terminal(master)) =
            (&options.console_socket, &started.streams)
        {
            door::send_terminal(socket, master.as_fd())?;
        }
        options.pid_file.as_deref().map_or(Ok(()), |path| write_pid(path, started.child.pid()))?;
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

/// What the program's streams are, by `process.terminal` and the console socket.
pub fn stdio(process: Option<&Process>, options: &CreateOptions) -> Result<Stdio> {
    let terminal = process.and_then(|process| process.terminal()).unwrap_or(false);
    match (terminal, &options.console_socket) {
        (true, None) => Err(Error::new(
            "cannot allocate tty if runc will detach without setting console socket",
        )),
        (false, Some(_)) => {
            Err(Error::new("cannot use console socket if runc will not detach or allocate tty"))
        }
        (false, None) => Ok(Stdio::Inherit),
        (true, Some(_)) => Ok(terminal_of(process.and_then(|process| process.console_size()))),
    }
}

/// A terminal of the size that the configuration names; else whoever has it sets one.
pub fn terminal_of(size: Option<oci_spec::runtime::Box>) -> Stdio {
    let side = |side: u64| u16::try_from(side).unwrap_or(u16::MAX);
    let (rows, columns) = size.map_or((0, 0), |size| (side(size.height()), side(size.width())));
    Stdio::Terminal { rows, columns }
}

/// Says `Go`, and listens until its execve or until it says why not.
fn answered(gate: &Gate) -> Result<()> {
    gate.send(&Message::Go)?;
    let mut exec = false;
    loop {
        match gate.receive()? {
            Some(Message::Exec) => exec = true,
            Some(Message::Failed(error)) => return Err(error),
            None if exec => return Ok(()),
            None => return Err(Error::new("the container's process died before execve")),
            Some(_) => return Err(Error::new("the container's process answered out of turn")),
        }
    }
}

/// Letters, digits and `_ + - .`, as runc allows them; not a name that leads elsewhere.
fn check_id(id: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    match !id.is_empty() && id.chars().all(allowed) && id != "." && id != ".." {
        true => Ok(()),
        false => Err(Error::new(format!("invalid container ID format: {id:?}"))),
    }
}

/// Whole, or not at all: whoever waits for the file may read it at once.
fn write_pid(path: &Path, pid: Pid) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}"));
    fs::write(&new, pid.to_string()).call(|| format!("write({new:?})"))?;
    fs::rename(&new, path).call(|| format!("rename({new:?}, {path:?})"))
}
