//! Catalogue: not needed to understand the chapter.
//!
//! Sockets that a service manager has opened, and that the program takes over as its
//! descriptors from 3 on (sd_listen_fds(3)). Three variables say which: how many, what they
//! are called, and for which process they are.

use ch01_clone::exec::Found;
use ch01_clone::{Error, Result};
use nix::unistd::Pid;

/// The sockets that we were started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// How many there are (`LISTEN_FDS`).
    pub count: u32,
    /// Their names, with a colon between them (`LISTEN_FDNAMES`).
    pub names: Option<String>,
}

const VARIABLES: [&str; 3] = ["LISTEN_FDS=", "LISTEN_FDNAMES=", "LISTEN_PID="];

impl Listen {
    /// What our environment says of them; `None` if they are not for this process.
    pub fn ours() -> Result<Option<Self>> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (Some(count), Some(pid)) = (variable("LISTEN_FDS"), variable("LISTEN_PID")) else {
            return Ok(None);
        };
        if pid != Pid::this().to_string() {
            return Ok(None);
        }
        match count.parse() {
            Ok(0) => Ok(None),
            Ok(count) => Ok(Some(Self { count, names: variable("LISTEN_FDNAMES") })),
            Err(_) => Err(Error::new(format!("LISTEN_FDS={count}: not a number"))),
        }
    }

    /// Says so in the environment of the program, but not yet which process that is.
    pub(crate) fn tell(&self, env: &mut Vec<String>) {
        env.retain(|variable| !VARIABLES.iter().any(|name| variable.starts_with(name)));
        env.push(format!("LISTEN_FDS={}", self.count));
        env.extend(self.names.iter().map(|names| format!("LISTEN_FDNAMES={names}")));
    }

    /// Who asks is the process that becomes the program: with an `init` it is not PID 1.
    pub(crate) fn tell_pid(program: &mut Found) -> Result<()> {
        program.add(format!("LISTEN_PID={}", Pid::this()))
    }
}
