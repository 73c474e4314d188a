//! Who is responsible for a container while it lives: one small process each.
//!
//! `dockster run -d` clones itself. The copy starts the container, whose parent it is,
//! and then becomes this same program anew, as `dockster-shim`, so that of all the
//! memory that starting took nothing is left. What it needs it is given: descriptors,
//! by their numbers. It serves the container until that has ended, tears down, and
//! starts it again if its policy says so. It outlives the command, holds the lock of
//! the container's directory, and can be asked for things over the socket in there.

mod checks;
pub mod client;
pub mod clients;
pub mod life;
pub mod local;
pub mod log;
pub mod monitor;
pub mod probe;
pub mod read;
mod streams;
pub mod time;
mod turn;
pub mod wire;

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ch01_clone::{Context, Error, Result};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, setsid};

use crate::engine::Engine;
use crate::engine::record::{Claim, Record};
use crate::sys;
use clients::Client;
use life::{Init, Life};
use monitor::Monitor;

/// What the shim is called: in `ps`, and where the program looks who it is.
pub const NAME: &str = "dockster-shim";

/// Leaves the session, the directory and the streams of whoever started us.
pub fn settle() -> Result<()> {
    setsid().call(|| "setsid")?;
    chdir("/").call(|| "chdir(\"/\")")?;
    leave_streams()?;
    // It ends with its container, and by nothing less than SIGKILL before.
    ch01_clone::Signals::catch().map(drop)
}

/// Does something that leaves a program behind: it shall not have our streams.
pub fn without_streams<T>(what: impl FnOnce() -> Result<T>) -> Result<T> {
    let errors =
        std::io::stderr().as_fd().try_clone_to_owned().call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
    leave_streams()?;
    let done = what();
    dup2_stderr(&errors).call(|| "dup2(2)")?;
    done
}

/// Input, output and errors are nobody's from here on.
pub fn leave_streams() -> Result<()> {
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
        .call(|| "open(/dev/null)")?;
    dup2_stdin(&null).call(|| "dup2(0)")?;
    dup2_stdout(&null).call(|| "dup2(1)")?;
    dup2_stderr(&null).call(|| "dup2(2)")
}

/// What goes from the program that starts a container to the one that sees to it.
pub struct Handover<'a> {
    /// The root of the engine.
    pub root: &'a Path,
    /// The container's directory, held.
    pub claim: &'a Claim,
    /// Where users connect.
    pub listener: &'a OwnedFd,
    /// The running program.
    pub life: &'a Life,
    /// Who is connected: sockets, and what they have asked for.
    pub clients: Vec<(&'a OwnedFd, u8)>,
    /// How long to wait before the next start, in milliseconds.
    pub back_off: u64,
}

impl Handover<'_> {
    /// Becomes the shim.
    pub fn go(self) -> Result<Infallible> {
        sys::close_on_exec_from_3().call(|| "close_range")?;
        let mut args = vec![NAME.to_owned(), format!("root={}", self.root.display())];
        let id = self.claim.dir().file_name().unwrap_or_default().to_string_lossy();
        args.push(format!("id={id}"));
        args.push(format!("backoff={}", self.back_off));
        args.push(format!("pid={}", self.life.init.pid));
        args.push(format!("terminal={}", u8::from(self.life.terminal)));
        let mut keep = |name: &str, fd: BorrowedFd<'_>| {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).call(|| "fcntl(F_SETFD)")?;
            args.push(format!("{name}={}", fd.as_raw_fd()));
            Ok::<_, Error>(())
        };
        keep("lock", self.claim.lock())?;
        keep("listener", self.listener.as_fd())?;
        keep("pidfd", self.life.init.pidfd.as_fd())?;
        let Life { input, output, errors, .. } = self.life;
        for (name, fd) in [("input", input), ("output", output), ("errors", errors)] {
            fd.as_ref().map_or(Ok(()), |fd| keep(name, fd.as_fd()))?;
        }
        for (socket, flags) in self.clients {
            keep(&format!("client{flags}"), socket.as_fd())?;
        }
        let args = args.into_iter().map(|arg| CString::new(arg).unwrap_or_default());
        let env = crate::rootless::testimony();
        let Err(errno) = execve(c"/proc/self/exe", &args.collect::<Vec<_>>(), &env);
        Err(Error::os("execve(/proc/self/exe)", errno))
    }
}

/// The shim.
pub fn main() -> ExitCode {
    // Nobody is there who could be told.
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run() -> Result<()> {
    let _ = nix::sys::prctl::set_name(&CString::from(c"dockster-shim"));
    let args: Vec<String> = std::env::args().skip(1).collect();
    let pairs = || args.iter().filter_map(|arg| arg.split_once('='));
    let text = |name: &str| pairs().find(|(key, _)| *key == name).map(|(_, value)| value);
    let fd = |name: &str| {
        let number = text(name).and_then(|value| value.parse().ok())?;
        sys::inherited(number).ok().inspect(|fd| drop(again_close_on_exec(fd)))
    };
    let missing = || Error::new("dockster starts this program itself");
    let root = PathBuf::from(text("root").ok_or_else(missing)?);
    let dir = root.join("containers").join(text("id").ok_or_else(missing)?);
    let pid = text("pid").and_then(|pid| pid.parse().ok()).ok_or_else(missing)?;
    let life = Life {
        init: Init { pid: Pid::from_raw(pid), pidfd: fd("pidfd").ok_or_else(missing)? },
        input: fd("input"),
        output: fd("output"),
        errors: fd("errors"),
        terminal: text("terminal") == Some("1"),
    };
    let claim = Claim::inherit(dir.clone(), fd("lock").ok_or_else(missing)?.into());
    let listener = fd("listener").ok_or_else(missing)?;
    let record = Record::load(&dir)?.ok_or_else(missing)?;
    let mut monitor = Monitor::new(record, &dir, listener);
    for (key, value) in pairs() {
        let flags = key.strip_prefix("client").and_then(|flags| flags.parse().ok());
        if let (Some(flags), Ok(number)) = (flags, value.parse())
            && let Ok(socket) = sys::inherited(number)
        {
            again_close_on_exec(&socket)?;
            monitor.clients.push(Client::new(socket, flags));
        }
    }
    let back_off = text("backoff").and_then(|text| text.parse().ok()).unwrap_or(0);
    drop(args);
    Engine::open(&root)?.mind(monitor, claim, life, back_off)
}

fn again_close_on_exec(fd: &OwnedFd) -> Result<()> {
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).call(|| "fcntl(F_SETFD)").map(drop)
}
