//! Making a container: from a bundle to a process at its second gate.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result, step};
use ch03_cgroups::Cgroup;

use crate::bundle::Bundle;
use crate::container::Container;
use crate::credentials::Credentials;
use crate::door;
use crate::given::{CreateOptions, stdio};
use crate::hooks::{self, Moment};
use crate::incarnation::Incarnation;
use crate::launch::{Door, Launch, Started, Stdio, launch};
use crate::resources::{cgroup_name, cgroup_of, limits};
use crate::state::{Lock, Note, Place, Status};

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
        // ANCHOR: create
        let (container, started) = self.make(id, &bundle, stdio, options, true)?;
        started.child.leave();
        Ok(container)
        // ANCHOR_END: create
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
        container.after_start(&bundle.spec)?;
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
        let cgroup = cgroup_of(&bundle.spec, &cgroup_name(&self.root, id), self.systemd)?;
        // Another's is not written down: `delete` would end whoever lives in it.
        let free = cgroup.as_ref().filter(|cgroup| !cgroup.populated().unwrap_or(true));
        let place = Place::make(&self.root, id)?;
        let lock = place.lock()?;
        let container = Container { runtime: self, id: id.to_owned(), place };
        let cgroup_paths = free.map(Cgroup::paths).unwrap_or_default();
        let memory_policy = bundle.memory_policy.clone();
        let mut note =
            Note { cgroup: cgroup_paths, memory_policy, ..Note::of(id, &bundle.dir, &bundle.spec) };
        let birth = Birth { bundle, cgroup, stdio, options, lock, waits };
        let made = birth.fill(&container, &mut note);
        match made {
            Ok(started) => Ok((container, started)),
            Err(error) => {
                // Nothing of it stays; why it could not be made is what the user shall hear.
                let state = container.describe(&note, Status::Stopped);
                let _ = container.clear_away(&note);
                self.warn_all(hooks::run_all(bundle.spec.hooks(), Moment::Poststop, &state));
                Err(error)
            }
        }
    }

    pub(crate) fn warn_all(&self, errors: Vec<Error>) {
        errors.iter().for_each(self.warn);
    }
}

/// What a container is made of.
struct Birth<'a> {
    bundle: &'a Bundle,
    cgroup: Option<Cgroup>,
    stdio: Stdio,
    options: &'a CreateOptions,
    /// Held while it is made.
    lock: Lock,
    /// Whether its program waits for `start`.
    waits: bool,
}

impl Birth<'_> {
    /// Fills the place of a container: a note, a cgroup, a process.
    fn fill(&self, container: &Container<'_>, note: &mut Note) -> Result<Started> {
        let (spec, place) = (&self.bundle.spec, &container.place);
        let dir = place.door();
        step!(
            "note",
            "What is about to be made is written down first: if the runtime is killed \
             now, `delete` knows what to clear away.",
            "cat STATE/state.json",
            "write({dir:?}/../state.json)",
            place.save(note).and_then(|()| place.keep_spec(spec)),
        )?;
        if let Some(cgroup) = &self.cgroup {
            let provided = limits(spec).and_then(|limits| cgroup.provide(&limits));
            // Nothing of it is left then; what is there is another's, and not ours to end.
            provided.inspect_err(|_| note.cgroup.clear())?;
        }
        let what = Launch {
            spec,
            tree: self.bundle.tree.clone(),
            cgroup: self.cgroup.as_ref(),
            stdio: self.stdio,
            state: container.describe(note, Status::Creating),
            door: self.waits.then(|| self.door(place)).transpose()?,
            memory_policy: self.bundle.memory_policy.as_ref(),
            options: self.options,
        };
        // ANCHOR: launch
        let started = launch(what, container.runtime.credentials, |pid| {
            note.init = Incarnation::of(pid.as_raw());
            place.save(note)
        })?;
        // ANCHOR_END: launch
        self.options.hand_over(&started, b"standard")?;
        Ok(started)
    }

    /// The second gate.
    fn door(&self, place: &Place) -> Result<Door> {
        let socket = door::make(&place.door())?;
        Ok(Door { socket, lock: self.lock.as_raw_fd() })
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
