//! From an OCI configuration to a running process.
//!
//! Here the chapters meet: the cgroup of chapter 3, the clone and the gate of
//! chapter 1, the root of chapter 2. The parent's side is in this file, the
//! child's in `inside.rs`.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use ch01_clone::{Child, Context, Error, Namespace, Namespaces, Plan, Program, Result};
use ch02_chroot::{Rootfs, Tree};
use ch03_cgroups::Cgroup;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, pipe2};
use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};

use crate::credentials::Credentials;
use crate::inside::{Ends, Inside};
use crate::mounts;

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

/// Starts it. `credentials` is called by the child, last of all; `recorded`
/// here, with its pid, while it still waits at its gate.
pub fn launch(
    launch: Launch<'_>,
    credentials: Credentials,
    recorded: impl FnOnce(Pid) -> Result<()>,
) -> Result<Started> {
    let Launch { spec, tree, cgroup, stdio } = launch;
    let process =
        spec.process().as_ref().ok_or_else(|| Error::new("config.json has no process"))?;
    refuse(spec, process)?;
    let credentials = credentials(spec, process)?;
    let namespaces = namespaces(spec)?;
    let (ends, ours) = streams(stdio)?;
    let inside = Inside {
        rootfs: rootfs(spec, tree)?,
        hostname: spec.hostname().clone(),
        own_network: namespaces.has(Namespace::Net),
        cwd: process.cwd().clone(),
        program: program(process)?,
        stdio: ends,
    };
    let directory = cgroup.map(Cgroup::dir).transpose()?.flatten();
    let plan =
        Plan { namespaces, ids: None, cgroup: directory.as_ref().map(std::os::fd::AsFd::as_fd) };
    let child = plan.spawn(|gate| inside.live(gate, credentials))?;
    if let Some(cgroup) = cgroup {
        cgroup.add_cloned(child.pid())?;
    }
    recorded(child.pid())?;
    let (child, terminal) = child.start()?;
    let streams = match (ours, terminal) {
        (Some(pipes), _) => pipes,
        (None, Some(master)) => Streams::Terminal(master),
        (None, None) => return Err(Error::new("the child sent no terminal")),
    };
    Ok(Started { child, streams })
}

fn namespaces(spec: &Spec) -> Result<Namespaces> {
    let mut new = Namespaces::NONE;
    let all = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    for namespace in all.into_iter().flatten() {
        if let Some(path) = namespace.path() {
            return Err(Error::new(format!("joining the namespace {path:?} is not supported yet")));
        }
        new = new.with(match namespace.typ() {
            LinuxNamespaceType::Mount => Namespace::Mount,
            LinuxNamespaceType::Cgroup => Namespace::Cgroup,
            LinuxNamespaceType::Uts => Namespace::Uts,
            LinuxNamespaceType::Ipc => Namespace::Ipc,
            LinuxNamespaceType::Pid => Namespace::Pid,
            LinuxNamespaceType::Network => Namespace::Net,
            LinuxNamespaceType::Time => Namespace::Time,
            LinuxNamespaceType::User => {
                return Err(Error::new("linux.namespaces: a user namespace is not supported yet"));
            }
        });
    }
    match new.has(Namespace::Mount) {
        true => Ok(new),
        false => Err(Error::new(
            "linux.namespaces: without a mount namespace it would change the host's",
        )),
    }
}

fn rootfs(spec: &Spec, tree: Tree) -> Result<Rootfs> {
    let linux = spec.linux().as_ref();
    let paths = |list: Option<&Option<Vec<String>>>| -> Vec<PathBuf> {
        list.and_then(Option::as_ref).into_iter().flatten().map(PathBuf::from).collect()
    };
    Ok(Rootfs {
        tree,
        mounts: spec.mounts().iter().flatten().map(mounts::mount).collect::<Result<_>>()?,
        masked: paths(linux.map(|linux| linux.masked_paths())),
        read_only_paths: paths(linux.map(|linux| linux.readonly_paths())),
        read_only: spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false),
    })
}

fn program(process: &Process) -> Result<Program> {
    let args = process.args().clone().unwrap_or_default();
    let mut program = Program::new(args, process.env().clone().unwrap_or_default())?;
    program.dies_with_parent = false;
    Ok(program)
}

/// The child's ends and ours; a terminal comes later, from the child.
fn streams(stdio: Stdio) -> Result<(Ends, Option<Streams>)> {
    let pipe = || pipe2(OFlag::O_CLOEXEC).call(|| "pipe2");
    let stdin = match stdio {
        Stdio::Terminal { rows, columns } => return Ok((Ends::Terminal { rows, columns }, None)),
        Stdio::Pipes { stdin } => stdin,
        Stdio::Inherit => return Ok((Ends::Inherited, Some(Streams::Inherited))),
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

/// Fields of the configuration that would be ignored are refused instead.
fn refuse(spec: &Spec, process: &Process) -> Result<()> {
    let linux = spec.linux().as_ref();
    let asked = [
        ("hooks", spec.hooks().is_some()),
        ("domainname", spec.domainname().is_some()),
        ("process.rlimits", process.rlimits().as_ref().is_some_and(|limits| !limits.is_empty())),
        ("process.oomScoreAdj", process.oom_score_adj().is_some()),
        ("process.ioPriority", process.io_priority().is_some()),
        ("process.scheduler", process.scheduler().is_some()),
        ("process.execCPUAffinity", process.exec_cpu_affinity().is_some()),
        ("process.user.umask", process.user().umask().is_some()),
        ("linux.sysctl", linux.is_some_and(|l| l.sysctl().as_ref().is_some_and(|s| !s.is_empty()))),
        (
            "linux.devices",
            linux.is_some_and(|l| l.devices().as_ref().is_some_and(|d| !d.is_empty())),
        ),
        ("linux.rootfsPropagation", linux.is_some_and(|l| l.rootfs_propagation().is_some())),
        ("linux.mountLabel", linux.is_some_and(|l| l.mount_label().is_some())),
        ("linux.intelRdt", linux.is_some_and(|l| l.intel_rdt().is_some())),
        ("linux.personality", linux.is_some_and(|l| l.personality().is_some())),
        ("linux.timeOffsets", linux.is_some_and(|l| l.time_offsets().is_some())),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        Some((field, _)) => Err(Error::new(format!("config.json: {field} is not supported yet"))),
        None => Ok(()),
    }
}
