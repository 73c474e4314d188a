//! Catalogue: not needed to understand the chapter.
//!
//! What else can be asked of a container that exists: facts, one more process, a rest,
//! other limits.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use ch01_clone::{Context, Error, Result};
use ch03_cgroups::Cgroup;
use nix::unistd::Pid;
use oci_spec::runtime::{LinuxResources, Spec};

use crate::bundle;
use crate::container::{Container, cgroup_from};
use crate::exec::{Exec, exec};
use crate::given::CreateOptions;
use crate::launch::Started;
use crate::memory_policy::MemoryPolicy;
use crate::resources::{cgroup_name, cgroup_of, limits_of};
use crate::state::{Note, Place, Status};

impl Container<'_> {
    /// Its configuration, as it was when it was created.
    pub fn spec(&self) -> Result<Spec> {
        self.place.spec()
    }

    /// The `linux.memoryPolicy` of its configuration.
    pub fn memory_policy(&self) -> Result<Option<MemoryPolicy>> {
        Ok(self.note()?.memory_policy)
    }

    /// When it was created.
    pub fn created(&self) -> Result<SystemTime> {
        Ok(self.note()?.created)
    }

    /// The user who created it: a uid.
    pub fn owner(&self) -> Result<u32> {
        self.place.owner()
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
        options.hand_over(&started, b"setns")?;
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

const CONFIG: &str = "config.json";

impl Place {
    /// Who made it: a uid.
    pub(crate) fn owner(&self) -> Result<u32> {
        let metadata = fs::metadata(&self.0).call(|| format!("stat({:?})", self.0))?;
        Ok(metadata.uid())
    }

    /// What is written down, or what can be told without it: after a power cut the file may be empty.
    pub(crate) fn note_or_guess(&self, id: &str) -> Option<Note> {
        self.note().unwrap_or_else(|_| {
            let spec = self.spec().unwrap_or_default();
            let name = cgroup_name(self.0.parent().unwrap_or(&self.0), id);
            let cgroup = cgroup_of(&spec, &name, false).ok()??;
            Some(Note { cgroup: cgroup.paths(), ..Note::of(id, Path::new(""), &spec) })
        })
    }

    /// Keeps the configuration: the bundle may have changed when it is asked for again.
    pub(crate) fn keep_spec(&self, spec: &Spec) -> Result<()> {
        let text = serde_json::to_vec(spec).map_err(|error| Error::new(error.to_string()))?;
        self.write(CONFIG, &text)
    }

    pub(crate) fn spec(&self) -> Result<Spec> {
        serde_json::from_slice(&self.read(CONFIG)?)
            .map_err(|error| Error::new(format!("{:?}: {error}", self.0.join(CONFIG))))
    }
}
