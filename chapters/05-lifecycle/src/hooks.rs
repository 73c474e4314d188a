//! Catalogue: not needed to understand the chapter.
//!
//! Hooks: programs that whoever drives a runtime wants run at some moment of a
//! container's life (config.md, "POSIX-platform Hooks").

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use ch01_clone::{Context, Error, Result, step};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oci_spec::runtime::{Hook, Hooks};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::state::State;

/// The moments, in the order of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl Moment {
    fn name(self) -> &'static str {
        match self {
            Moment::Prestart => "prestart",
            Moment::CreateRuntime => "createRuntime",
            Moment::CreateContainer => "createContainer",
            Moment::StartContainer => "startContainer",
            Moment::Poststart => "poststart",
            Moment::Poststop => "poststop",
        }
    }

    /// The hooks of this moment.
    pub(crate) fn of(self, hooks: &Option<Hooks>) -> &[Hook] {
        let Some(hooks) = hooks else { return &[] };
        let list = match self {
            #[allow(deprecated)]
            Moment::Prestart => hooks.prestart(),
            Moment::CreateRuntime => hooks.create_runtime(),
            Moment::CreateContainer => hooks.create_container(),
            Moment::StartContainer => hooks.start_container(),
            Moment::Poststart => hooks.poststart(),
            Moment::Poststop => hooks.poststop(),
        };
        list.as_deref().unwrap_or_default()
    }
}

/// Runs the hooks of a moment, one after the other; the first that fails ends it.
pub(crate) fn run(hooks: &Option<Hooks>, moment: Moment, state: &State) -> Result<()> {
    let name = moment.name();
    for hook in moment.of(hooks) {
        let path = hook.path().display();
        step!(
            "hook",
            "Whoever drives the runtime wants this program run now; it reads the \
             container's state from its standard input.",
            "cat /proc/PID/status",
            "{name}: execve({path})",
            run_one(hook, state),
        )?;
    }
    Ok(())
}

/// Runs the hooks of a moment that cannot stop anything any more; says what failed.
pub(crate) fn run_all(hooks: &Option<Hooks>, moment: Moment, state: &State) -> Vec<Error> {
    let one = |hook| run_one(hook, state).map_err(|error| error.during(moment.name()));
    moment.of(hooks).iter().filter_map(|hook| one(hook).err()).collect()
}

fn run_one(hook: &Hook, state: &State) -> Result<()> {
    let path = hook.path();
    let mut command = Command::new(path);
    if let Some((name, rest)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(name).args(rest);
    }
    let env = hook.env().iter().flatten().filter_map(|variable| variable.split_once('='));
    command.env_clear().envs(env);
    let text = serde_json::to_vec(state).map_err(|error| Error::new(error.to_string()))?;
    // Files in memory, not pipes: nobody has to read or write while it runs.
    let (mut input, mut said) = (memory_file()?, memory_file()?);
    input.write_all(&text).and_then(|()| input.rewind()).call(|| "write(memfd)")?;
    let copy = || said.try_clone().call(|| "fcntl(F_DUPFD_CLOEXEC)");
    command.stdin(input).stdout(copy()?).stderr(copy()?);
    let mut child = command.spawn().call(|| format!("hook {path:?}"))?;
    let limit = hook.timeout().map(|seconds| Duration::from_secs(seconds.max(0) as u64));
    if !ends_within(&child, limit)? {
        // It may have ended by itself meanwhile.
        let _ = child.kill();
        let _ = child.wait();
        return Err(Error::new(format!("hook {path:?} ran past specified timeout of {limit:?}")));
    }
    let status = child.wait().call(|| format!("waitid({path:?})"))?;
    if status.success() {
        return Ok(());
    }
    let mut words = String::new();
    // What it said may be no text, and then the status has to do.
    let _ = said.rewind().and_then(|()| said.read_to_string(&mut words));
    Err(Error::new(format!("hook {path:?}: {status}: {}", words.trim())))
}

fn memory_file() -> Result<File> {
    let fd = memfd_create("hook", MemfdFlags::CLOEXEC).map_err(std::io::Error::from);
    fd.map(File::from).call(|| "memfd_create")
}

/// Waits until it has ended, but not longer than this.
fn ends_within(child: &Child, limit: Option<Duration>) -> Result<bool> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty());
    let pidfd = pidfd.map_err(std::io::Error::from).call(|| "pidfd_open")?;
    let deadline = limit.map(|limit| Instant::now() + limit);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = match left {
            Some(left) => PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
            None => PollTimeout::NONE,
        };
        match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) if left.is_some_and(|left| left < Duration::from_millis(1)) => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(Error::os("poll", errno)),
        }
    }
}
