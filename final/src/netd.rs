//! netd: who answers to names and passes on published ports that no rule can redirect.
//!
//! It is this program under another name, see `ch04_network::netd`: one process for each
//! root, started when somebody first needs it, and gone when nobody does any more.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ch01_clone::{Context, Error, Gate, Message, Plan, Result};
use ch04_network::netd::{self, Home};
use nix::unistd::{dup2_stdin, execve};

use crate::{shim, sys};

/// What it is called: in `ps`, and where the program looks who it is.
pub const NAME: &str = "dockster-netd";

/// Starts it for the networks that are written down in `dir`; it accepts at `socket`.
pub fn start(dir: &Path, home: &Home, socket: OwnedFd) -> Result<()> {
    let (child, _) = Plan::default().spawn(|gate| go(gate, dir, home, &socket))?.start()?;
    // It ends by itself.
    child.leave();
    Ok(())
}

/// In the clone: leaves behind all that was the command's.
fn go(gate: &Gate, dir: &Path, home: &Home, socket: &OwnedFd) -> Result<Infallible> {
    let home = serde_json::to_string(home).map_err(|error| Error::new(error.to_string()))?;
    let words = [OsString::from(NAME), dir.as_os_str().to_owned(), home.into()];
    let words = words.map(|word| CString::new(word.into_vec()).unwrap_or_default());
    let env: [CString; 0] = [];
    shim::settle()?;
    dup2_stdin(socket.as_fd()).call(|| "dup2(0)")?;
    sys::close_on_exec_from_3().call(|| "close_range")?;
    gate.send(&Message::Exec)?;
    let Err(errno) = execve(c"/proc/self/exe", &words, &env);
    Err(Error::os("execve(/proc/self/exe)", errno))
}

/// The process.
pub fn main() -> ExitCode {
    // Nobody is there who could be told.
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run() -> Result<()> {
    let _ = nix::sys::prctl::set_name(c"dockster-netd");
    let missing = || Error::new("dockster starts this program itself");
    let mut words = std::env::args_os().skip(1);
    let dir = words.next().map(PathBuf::from).ok_or_else(missing)?;
    let home = words.next().and_then(|word| word.into_string().ok()).ok_or_else(missing)?;
    let home: Home = serde_json::from_str(&home).map_err(|error| Error::new(error.to_string()))?;
    let socket = std::io::stdin().as_fd().try_clone_to_owned().call(|| "dup(0)")?;
    shim::leave_streams()?;
    netd::serve(&dir, socket, &home)
}
