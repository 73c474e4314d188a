//! The last thing a child does: become another program.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::execve;

use crate::error::{Context, Error, Result};
use crate::gate::{Gate, Message};
use crate::search::search;
use crate::{hints, step, steps, sys};

/// What to run; made before the clone, looked up by the child in its own root.
#[derive(Debug, Clone)]
pub struct Program {
    args: Vec<CString>,
    pub(crate) env: Vec<CString>,
    /// Whether it is killed when its parent ends (PR_SET_PDEATHSIG).
    pub dies_with_parent: bool,
    /// How many descriptors from 3 on it keeps; the others it never sees.
    pub keeps: u32,
}

impl Program {
    /// `args`, the first of which names the program, with the environment `env` (`NAME=value`).
    pub fn new<A, E>(args: A, env: E) -> Result<Self>
    where
        A: IntoIterator<Item: Into<OsString>>,
        E: IntoIterator<Item: Into<OsString>>,
    {
        let args = args.into_iter().map(c_string).collect::<Result<Vec<_>>>()?;
        let env = env.into_iter().map(c_string).collect::<Result<_>>()?;
        match args.first() {
            None => Err(Error::new("no command given")),
            Some(_) => Ok(Self { args, env, dies_with_parent: false, keeps: 0 }),
        }
    }

    /// Looks the program up as a shell does: a name with a slash is a path, any
    /// other is searched for along PATH, here the PATH of the new environment.
    pub fn find(self) -> Result<Found> {
        let name = OsStr::from_bytes(self.args[0].as_bytes()).to_owned();
        let file = search(&name, &self.env).map_err(|errno| {
            let what = match errno {
                Errno::ENOENT if name.as_bytes().contains(&b'/') => "no such file",
                Errno::ENOENT => "executable file not found in $PATH",
                _ => "not an executable file",
            };
            Error::os(format!("{name:?}: {what}"), errno).during("execve")
        })?;
        Ok(Found { file: c_string(file)?, program: self })
    }
}

/// A program that exists and may be executed.
#[derive(Debug)]
pub struct Found {
    file: CString,
    pub(crate) program: Program,
}

impl Found {
    /// Becomes the program.
    pub fn exec(self, gate: &Gate) -> Result<Infallible> {
        self.exec_after(gate, || Ok(()))
    }

    /// The same; `last` is the last that happens before, and may forbid all else.
    pub fn exec_after(self, gate: &Gate, last: impl FnOnce() -> Result<()>) -> Result<Infallible> {
        let Program { args, env, dies_with_parent, keeps } = &self.program;
        // ANCHOR: become_it
        sys::default_signals().call(|| "sigprocmask(SIG_SETMASK)")?;
        sys::close_on_exec_from(3 + keeps).call(|| "close_range(3, ~0, CLOSE_RANGE_CLOEXEC)")?;
        if *dies_with_parent {
            prctl::set_pdeathsig(Signal::SIGKILL).call(|| "prctl(PR_SET_PDEATHSIG)")?;
        }
        // Should the parent have died before the line above: then this fails. (Who watches
        // each step hears it after the last one.)
        let say = |when| if steps::watched() == when { gate.send(&Message::Exec) } else { Ok(()) };
        say(false)?;
        last()?;
        // ANCHOR_END: become_it
        let file = &self.file;
        let Err(error) = step!(
            "execve",
            "All is in place. The child becomes the program; every descriptor but \
             0, 1 and 2 closes, the gate among them, and so we know that it worked.",
            "ls -l /proc/PID/exe /proc/PID/fd",
            "execve({file:?}, ...)",
            say(true).and_then(|()| execve(file, args, env).call(|| format!("execve({file:?})"))),
        );
        Err(hints::execve(error))
    }
}

pub(crate) fn c_string(text: impl Into<OsString>) -> Result<CString> {
    let text = text.into();
    CString::new(text.into_vec())
        .map_err(|error| Error::new(format!("a zero byte in {:?}", error.into_vec())))
}
