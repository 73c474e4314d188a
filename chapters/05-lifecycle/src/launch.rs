//! Catalogue: not needed to understand the chapter.
//!
//! From an OCI configuration to a running process.
//!
//! Here the chapters meet: the cgroup of chapter 3, the clone and the gate of
//! chapter 1, the root of chapter 2. The parent's side is in this file, the
//! child's in `inside.rs`.

use std::os::fd::{AsFd, OwnedFd, RawFd};

use ch01_clone::{Child, Context, Error, Namespace, Plan, Result};
use ch02_chroot::Tree;
use ch03_cgroups::Cgroup;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, pipe2};
use oci_spec::runtime::Spec;

use crate::credentials::Credentials;
use crate::given::CreateOptions;
use crate::hooks::{self, Moment};
use crate::init::Init;
use crate::inside::{Ends, Inside};
use crate::memory_policy::MemoryPolicy;
use crate::state::State;
use crate::{mounts, namespaces, settings, supervisor};

/// What is launched, and how.
pub struct Launch<'a> {
    /// The configuration (config.json).
    pub spec: &'a Spec,
    /// Where its root comes from.
    pub tree: Tree,
    /// The cgroup that it lives in, made and limited already.
    pub cgroup: Option<&'a Cgroup>,
    /// What its standard streams are.
    pub stdio: Stdio,
    /// What hooks are told of it; the pid is filled in.
    pub state: State,
    /// Where it waits for `start`.
    pub door: Option<Door>,
    /// `linux.memoryPolicy` of the configuration.
    pub memory_policy: Option<&'a MemoryPolicy>,
    /// What whoever drives us wants besides.
    pub options: &'a CreateOptions,
}

/// The second gate, on the child's side.
pub struct Door {
    /// A listening socket.
    pub socket: OwnedFd,
    /// A lock of the parent's, of which the child must not keep its copy: it would
    /// stay locked if the parent were killed.
    pub lock: RawFd,
}

/// What a container's standard streams are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdio {
    /// Ours, as they are.
    Inherit,
    /// A terminal of its own, of this size.
    Terminal {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// Pipes; without `stdin` its input is empty.
    Pipes {
        /// Whether its input is connected.
        stdin: bool,
    },
}

/// A program that runs, and our ends of its streams.
pub struct Started {
    /// The program.
    pub child: Child,
    /// Our ends.
    pub streams: Streams,
}

/// Our ends of a container's standard streams.
pub enum Streams {
    /// None: the program has our own.
    Inherited,
    /// The master of its terminal.
    Terminal(OwnedFd),
    /// Pipes.
    Pipes {
        /// To its standard input, if that is connected.
        stdin: Option<OwnedFd>,
        /// From its standard output.
        stdout: OwnedFd,
        /// From its standard error.
        stderr: OwnedFd,
    },
}

/// Starts it. `recorded` is called with its pid while it still waits at its gate.
pub fn launch(
    launch: Launch<'_>,
    credentials: Credentials,
    recorded: impl FnOnce(Pid) -> Result<()>,
) -> Result<Started> {
    let Launch { spec, tree, cgroup, stdio, mut state, door, options, .. } = launch;
    let process =
        spec.process().as_ref().ok_or_else(|| Error::new("config.json has no process"))?;
    let mut new = namespaces::of(spec)?;
    let entrance = cgroup.map(Cgroup::entrance).transpose()?.flatten();
    let own_view = entrance.is_some() && new.plan.has(Namespace::Cgroup);
    if own_view {
        // Its root is where the child is when it makes it.
        new.plan = new.plan.without(Namespace::Cgroup);
    }
    let by_us = cgroup.filter(|_| entrance.is_none());
    let (ends, ours) = streams(stdio)?;
    let mut rootfs = mounts::rootfs(spec, tree)?.relative_to(&state.bundle);
    rootfs.prepare()?;
    let inside = Inside {
        spec,
        process,
        rootfs,
        entrance,
        own_view,
        own_network: new.plan.has(Namespace::Net),
        memory_policy: launch.memory_policy,
        options,
        stdio: ends,
        state: state.clone(),
        door,
        init: options.init.then(Init::prepare).transpose()?,
    };
    let credentials = credentials(spec, process)?;
    let directory = cgroup.map(Cgroup::dir).transpose()?.flatten();
    let plan =
        Plan { namespaces: new.plan, ids: new.ids, cgroup: directory.as_ref().map(AsFd::as_fd) };
    let body = |gate: &ch01_clone::Gate| inside.live(gate, credentials);
    let child = match &new.elsewhere {
        None => plan.spawn(body)?,
        Some(elsewhere) => plan.spawn_elsewhere(elsewhere, body)?,
    };
    by_us.map_or(Ok(()), |cgroup| cgroup.add_cloned(child.pid()))?;
    settings::from_outside(process, child.pid())?;
    recorded(child.pid())?;
    state.pid = child.pid().as_raw();
    let (child, terminal) = child.start_with(|given| match given {
        Some(listener) => supervisor::give(spec, state.pid, &state, listener),
        None => {
            hooks::run(spec.hooks(), Moment::Prestart, &state)?;
            hooks::run(spec.hooks(), Moment::CreateRuntime, &state)
        }
    })?;
    Ok(Started { child, streams: with_terminal(ours, terminal)? })
}

/// Our ends, once the child has sent its terminal.
pub(crate) fn with_terminal(ours: Option<Streams>, terminal: Option<OwnedFd>) -> Result<Streams> {
    match (ours, terminal) {
        (Some(streams), _) => Ok(streams),
        (None, Some(master)) => Ok(Streams::Terminal(master)),
        (None, None) => Err(Error::new("the child sent no terminal")),
    }
}

/// The child's ends and ours; a terminal comes later, from the child.
pub(crate) fn streams(stdio: Stdio) -> Result<(Ends, Option<Streams>)> {
    let pipe = || pipe2(OFlag::O_CLOEXEC).call(|| "pipe2");
    let stdin = match stdio {
        Stdio::Inherit => return Ok((Ends::Inherited, Some(Streams::Inherited))),
        Stdio::Terminal { rows, columns } => return Ok((Ends::Terminal { rows, columns }, None)),
        Stdio::Pipes { stdin } => stdin,
    };
    let (input, to_input) = match stdin {
        true => pipe().map(|(read, write)| (read, Some(write)))?,
        false => {
            let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
            (open("/dev/null", flags, Mode::empty()).call(|| "open(/dev/null)")?, None)
        }
    };
    let (stdout, output) = pipe()?;
    let (stderr, errors) = pipe()?;
    Ok((
        Ends::Pipes([input, output, errors]),
        Some(Streams::Pipes { stdin: to_input, stdout, stderr }),
    ))
}
