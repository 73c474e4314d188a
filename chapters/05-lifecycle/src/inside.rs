//! The child's side: from its gate to its program.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Gate, Message, Program, Result, set_hostname, step};
use ch02_chroot::{Rootfs, pivot};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout, getcwd, setsid};

use crate::pty;
use crate::sys;

/// All that the child needs, made before the clone.
pub(crate) struct Inside {
    pub(crate) rootfs: Rootfs,
    pub(crate) hostname: Option<String>,
    pub(crate) own_network: bool,
    pub(crate) cwd: PathBuf,
    pub(crate) program: Program,
    pub(crate) stdio: Ends,
}

/// Where the child's standard streams come from.
pub(crate) enum Ends {
    /// They are there already.
    Inherited,
    /// A terminal that it makes itself, of this size.
    Terminal { rows: u16, columns: u16 },
    /// Its ends of pipes: input, output, errors.
    Pipes([OwnedFd; 3]),
}

impl Inside {
    pub(crate) fn live(
        self,
        gate: &Gate,
        credentials: impl FnOnce() -> Result<()>,
    ) -> Result<Infallible> {
        setsid().call(|| "setsid")?;
        if self.own_network {
            loopback()?;
        }
        self.hostname.as_deref().map_or(Ok(()), set_hostname)?;
        let root = self.rootfs.build()?;
        root.make_dir(&self.cwd, 0o755).map_err(|error| {
            Error::os(
                format!("the working directory {:?}", self.cwd),
                error.errno.unwrap_or(Errno::ENOTDIR),
            )
        })?;
        match &self.stdio {
            Ends::Inherited => {}
            Ends::Terminal { rows, columns } => {
                let (master, slave) = pty::open(&root, *rows, *columns)?;
                gate.send(&Message::Terminal(master))?;
                become_stdio([&slave, &slave, &slave])?;
            }
            Ends::Pipes([input, output, errors]) => become_stdio([input, output, errors])?,
        }
        pivot(&root)?;
        self.rootfs.freeze()?;
        enter(&self.cwd)?;
        let program = self.program.find()?;
        credentials()?;
        program.exec(gate)
    }
}

fn loopback() -> Result<()> {
    step!(
        "loopback",
        "A new network namespace has one link, the loopback, and it is down.",
        "nsenter -t PID -n ip addr",
        "ioctl(SIOCSIFFLAGS, \"lo\", IFF_UP)",
        socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
            .and_then(|socket| sys::loopback_up(socket.as_fd())),
    )
}

fn become_stdio([input, output, errors]: [&OwnedFd; 3]) -> Result<()> {
    dup2_stdin(input).call(|| "dup2(0)")?;
    dup2_stdout(output).call(|| "dup2(1)")?;
    dup2_stderr(errors).call(|| "dup2(2)")
}

fn enter(cwd: &Path) -> Result<()> {
    chdir(cwd).call(|| format!("chdir({cwd:?})"))?;
    // A working directory that is reached through a leaked descriptor lies
    // outside of the root, and shows in this way only (CVE-2024-21626).
    match getcwd() {
        Ok(path) if path.is_absolute() && !path.starts_with("(unreachable)") => Ok(()),
        _ => Err(Error::new(format!("the working directory {cwd:?} is outside of the root"))),
    }
}
