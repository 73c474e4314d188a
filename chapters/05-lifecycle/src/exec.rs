//! Catalogue: not needed to understand the chapter.
//!
//! One more process in a container that runs.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use ch01_clone::{Context, Error, Namespace, Namespaces, Result, join};
use ch02_chroot::Root;
use ch03_cgroups::Cgroup;
use nix::unistd::{Pid, setsid};
use oci_spec::runtime::{Process, Spec};

use crate::credentials::Credentials;
use crate::incarnation::Incarnation;
use crate::inside::{connect, enter, home, program};
use crate::launch::{Started, Stdio, streams, with_terminal};
use crate::memory_policy::MemoryPolicy;
use crate::state::State;
use crate::{settings, supervisor};

/// What is run in a container, and how.
pub struct Exec<'a> {
    /// The configuration of the container.
    pub spec: &'a Spec,
    /// What to run (`process` of config.json).
    pub process: &'a Process,
    /// Its standard streams.
    pub stdio: Stdio,
    /// Where below the container's cgroup it runs, by controller, `""` for all: see
    /// [`Cgroup::below`]. Empty: in the container's own.
    pub cgroups: BTreeMap<String, PathBuf>,
    /// How the container stands, for the supervisor of its system calls if it has one.
    pub state: Option<&'a State>,
    /// `linux.memoryPolicy` of the container.
    pub memory_policy: Option<MemoryPolicy>,
    /// How many descriptors from 3 on the program keeps.
    pub preserve_fds: u32,
}

/// Starts a process in the namespaces of `init` and in `cgroup`.
pub fn exec(
    exec: &Exec<'_>,
    init: Incarnation,
    cgroup: Option<&Cgroup>,
    credentials: Credentials,
) -> Result<Started> {
    let Exec { spec, process, stdio, preserve_fds, .. } = *exec;
    let below = exec.below(cgroup)?;
    let cgroup = cgroup.filter(|_| below.is_none());
    let credentials = credentials(spec, process)?;
    let (ends, ours) = streams(stdio)?;
    let target = Pid::from_raw(init.pid);
    let entrance = cgroup.map(Cgroup::only_entrance).transpose()?.flatten();
    let by_us = cgroup.filter(|_| entrance.is_none());
    let child = join(target, Namespaces::of(Namespace::ALL), |gate| {
        entrance.map_or(Ok(()), |entrance| entrance.enter())?;
        setsid().call(|| "setsid")?;
        if let Some(cpus) =
            process.exec_cpu_affinity().as_ref().and_then(|a| a.initial().as_deref())
        {
            settings::run_on(cpus)?;
        }
        // ANCHOR: inside
        // Its mount namespace has its root as /.
        let root = Root::open("/".as_ref())?;
        connect(&ends, &root, gate, process)?;
        enter(process.cwd())?;
        let program = program(process, home(&root, process), None, preserve_fds)?.find()?;
        // ANCHOR_END: inside
        settings::apply(process, spec.linux().as_ref().and_then(|l| l.personality().as_ref()))?;
        exec.memory_policy.as_ref().map_or(Ok(()), MemoryPolicy::apply)?;
        let cpus =
            process.exec_cpu_affinity().as_ref().and_then(|a| a.cpu_affinity_final().as_deref());
        cpus.map_or(Ok(()), settings::run_on)?;
        program.exec_after(gate, || credentials(gate))
    })?;
    below.map_or(Ok(()), |below| below.add(child.pid()))?;
    let pid = child.pid();
    // ANCHOR: outside
    // The pid may have become another's before the namespaces were entered.
    if !init.alive() {
        return Err(Error::new("cannot exec in a stopped container"));
    }
    by_us.map_or(Ok(()), |cgroup| cgroup.add_beside(child.pid(), target))?;
    settings::from_outside(process, child.pid())?;
    let (child, terminal) = child.start_with(|given| exec.supervise(pid, given))?;
    // ANCHOR_END: outside
    Ok(Started { child, streams: with_terminal(ours, terminal)? })
}

impl Exec<'_> {
    /// The cgroup below the container's, if one is asked for.
    fn below(&self, cgroup: Option<&Cgroup>) -> Result<Option<Cgroup>> {
        match (cgroup, self.cgroups.is_empty()) {
            (_, true) => Ok(None),
            (Some(cgroup), false) => cgroup.below(&self.cgroups).map(Some),
            (None, false) => Err(Error::new("the container has no cgroup of its own")),
        }
    }

    /// Passes on what the process gives away by which a supervisor hears of its calls.
    fn supervise(&self, pid: Pid, given: Option<OwnedFd>) -> Result<()> {
        match (given, self.state) {
            (Some(listener), Some(state)) => {
                supervisor::give(self.spec, pid.as_raw(), state, listener)
            }
            _ => Err(Error::new("the process waits for nothing that is known")),
        }
    }
}
