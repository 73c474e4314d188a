//! One more process in a container that runs.

use std::path::PathBuf;

use ch01_clone::{Result};
use ch03_cgroups::Cgroup;
use oci_spec::runtime::{Process, Spec};

use crate::credentials::Credentials;
use crate::incarnation::Incarnation;
use crate::launch::{Started, Stdio};

/// What is run in a container, and how.
pub struct Exec<'a> {
    /// The configuration of the container.
    pub spec: &'a Spec,
    /// What to run (process of config.json).
    pub process: &'a Process,
    /// Its standard streams. With `Inherit` and `process.terminal` a terminal is
    /// made and its master sent to `console_socket`.
    pub stdio: Stdio,
    /// See [`CreateOptions`](crate::CreateOptions).
    pub console_socket: Option<PathBuf>,
    /// How many descriptors from 3 on the program keeps.
    pub preserve_fds: u32,
}

/// Starts a process in the namespaces of `init` and in `cgroup`.
pub fn exec(
    _exec: &Exec<'_>,
    _init: Incarnation,
    _cgroup: Option<&Cgroup>,
    _credentials: Credentials,
) -> Result<Started> {
    todo!()
}
