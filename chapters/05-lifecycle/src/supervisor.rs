//! Catalogue: not needed to understand the chapter.
//!
//! The supervisor of a container's system calls: a program that listens on a socket, and
//! is given the descriptor by which it hears of each call that the filter refers to it
//! (`SCMP_ACT_NOTIFY`; seccomp_unotify(2)).
//!
//! Specification: config-linux.md, "The Container Process State".

use std::os::fd::{AsFd, OwnedFd};

use ch01_clone::{Error, Result};
use oci_spec::runtime::Spec;
use serde::Serialize;

use crate::door;
use crate::state::State;

/// What it is told of the process.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProcessState<'a> {
    oci_version: &'a str,
    /// The names of the descriptors that are sent along.
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: &'a State,
}

/// Gives the supervisor that the configuration names the descriptor for the process `pid`.
pub(crate) fn give(spec: &Spec, pid: i32, state: &State, listener: OwnedFd) -> Result<()> {
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let Some(path) = seccomp.and_then(|seccomp| seccomp.listener_path().as_ref()) else {
        return Err(Error::new("linux.seccomp.listenerPath is not set"));
    };
    let metadata = seccomp.and_then(|seccomp| seccomp.listener_metadata().as_deref());
    let told = ContainerProcessState {
        oci_version: &state.oci_version,
        fds: ["seccompFd"],
        pid,
        metadata: metadata.filter(|metadata| !metadata.is_empty()),
        state,
    };
    let told = serde_json::to_vec(&told).map_err(|error| Error::new(error.to_string()))?;
    door::send_descriptor(path, &told, listener.as_fd())
}
