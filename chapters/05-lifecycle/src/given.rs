//! Catalogue: not needed to understand the chapter.
//!
//! What whoever drives us gives along with a bundle, and what is handed over to them.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use nix::unistd::Pid;
use oci_spec::runtime::Process;

use crate::door;
use crate::launch::{Started, Stdio, Streams};
use crate::listen::Listen;

/// What `create` is told besides the bundle.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// The socket to which the master side of the terminal is sent.
    pub console_socket: Option<PathBuf>,
    /// The file in which the pid is written.
    pub pid_file: Option<PathBuf>,
    /// The socket to which a descriptor of the process (a pidfd) is sent.
    pub pidfd_socket: Option<PathBuf>,
    /// How many descriptors from 3 on the program keeps, after those that it listens on.
    pub preserve_fds: u32,
    /// The sockets of a service manager that the program listens on.
    pub listen: Option<Listen>,
    /// Whether its root lies over the old one, which stays below: there is no pivot_root.
    pub no_pivot: bool,
    /// Whether it keeps the caller's session keyring.
    pub same_keyring: bool,
    /// Whether its program gets an `init` as its parent, which is PID 1.
    pub init: bool,
}

impl CreateOptions {
    /// Gives away what belongs to whoever drives us: the terminal, and the
    /// process, which a socket hears of by `name`: `standard` or, of one more, `setns`.
    pub(crate) fn hand_over(&self, started: &Started, name: &[u8]) -> Result<()> {
        if let (Some(socket), Streams::Terminal(master)) = (&self.console_socket, &started.streams)
        {
            door::send_descriptor(socket, b"/dev/ptmx", master.as_fd())?;
        }
        if let Some(socket) = &self.pidfd_socket {
            door::send_descriptor(socket, name, started.child.pidfd())?;
        }
        self.pid_file.as_deref().map_or(Ok(()), |path| write_pid(path, started.child.pid()))
    }
}

/// What the program's streams are, by `process.terminal` and the console socket.
pub fn stdio(process: Option<&Process>, options: &CreateOptions) -> Result<Stdio> {
    let terminal = process.and_then(|process| process.terminal()).unwrap_or(false);
    match (terminal, &options.console_socket) {
        (true, None) => Err(Error::new(
            "cannot allocate tty if runc will detach without setting console socket",
        )),
        (false, Some(_)) => {
            Err(Error::new("cannot use console socket if runc will not detach or allocate tty"))
        }
        (false, None) => Ok(Stdio::Inherit),
        (true, Some(_)) => Ok(terminal_of(process.and_then(|process| process.console_size()))),
    }
}

/// A terminal of the size that the configuration names; else whoever has it sets one.
pub fn terminal_of(size: Option<oci_spec::runtime::Box>) -> Stdio {
    let side = |side: u64| u16::try_from(side).unwrap_or(u16::MAX);
    let (rows, columns) = size.map_or((0, 0), |size| (side(size.height()), side(size.width())));
    Stdio::Terminal { rows, columns }
}

/// Whole, or not at all: whoever waits for the file may read it at once.
fn write_pid(path: &Path, pid: Pid) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}"));
    fs::write(&new, pid.to_string()).call(|| format!("write({new:?})"))?;
    fs::rename(&new, path).call(|| format!("rename({new:?}, {path:?})"))
}
