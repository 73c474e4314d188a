//! The verbs of a life: create, start, kill, delete.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ch01_clone::{ExitStatus, Result};
use ch03_cgroups::{Cgroup, Limits};
use nix::unistd::Pid;
use oci_spec::runtime::{LinuxResources, Spec};

use crate::credentials::Credentials;
use crate::exec::Exec;
use crate::state::State;

/// Where containers are kept, and how credentials are changed.
pub struct Runtime {
    /// The directory of all states (`--root`).
    pub root: PathBuf,
    /// Prepares the change of credentials: this chapter's, or chapter 7's.
    pub credentials: Credentials,
    /// Whether cgroups are asked of systemd (`--systemd-cgroup`).
    pub systemd: bool,
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
}

impl Runtime {
    /// Makes a container of a bundle. Its program waits for [`Container::start`].
    pub fn create(&self, _id: &str, _bundle: &Path, _options: &CreateOptions) -> Result<Container<'_>> {
        todo!()
    }

    /// A container that exists.
    pub fn open(&self, _id: &str) -> Result<Container<'_>> {
        todo!()
    }

    /// The ids of all containers, sorted.
    pub fn ids(&self) -> Result<Vec<String>> {
        todo!()
    }
}

impl Container<'_> {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How it stands now: looked at, not remembered.
    pub fn state(&self) -> Result<State> {
        let _ = self.runtime;
        todo!()
    }

    /// Its configuration, as it was when it was created.
    pub fn spec(&self) -> Result<Spec> {
        todo!()
    }

    /// When it was created.
    pub fn created(&self) -> Result<SystemTime> {
        todo!()
    }

    /// The user who created it: a uid.
    pub fn owner(&self) -> Result<u32> {
        todo!()
    }

    /// Lets its program go.
    pub fn start(&self) -> Result<()> {
        todo!()
    }

    /// In a process that is the parent of its program (`run`): waits for the end,
    /// passing signals on.
    pub fn wait(&self) -> Result<ExitStatus> {
        todo!()
    }

    /// Sends its first process a signal, or with `all` every process in it.
    pub fn kill(&self, _signal: i32, _all: bool) -> Result<()> {
        todo!()
    }

    /// Removes what is left of it; with `force` also one that runs. With `force`
    /// one that is not there is no error.
    pub fn delete(&self, _force: bool) -> Result<()> {
        todo!()
    }

    /// Starts one more process in it. Gives the process (a child of ours) once it runs.
    pub fn exec(&self, _exec: &Exec<'_>) -> Result<ch01_clone::Child> {
        todo!()
    }

    /// Stops all its processes where they are.
    pub fn pause(&self) -> Result<()> {
        todo!()
    }

    /// Lets them go on.
    pub fn resume(&self) -> Result<()> {
        todo!()
    }

    /// Changes limits while it runs; what is not given stays.
    pub fn update(&self, _resources: &LinuxResources) -> Result<()> {
        todo!()
    }

    /// Changes limits that are no part of the specification's resources.
    pub fn limit(&self, _limits: &Limits) -> Result<()> {
        todo!()
    }

    /// Its processes, as the host numbers them.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        todo!()
    }

    /// Its cgroup, if it has one.
    pub fn cgroup(&self) -> Result<Option<Cgroup>> {
        todo!()
    }
}
