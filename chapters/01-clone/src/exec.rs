//! The last thing a child does: become another program.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{AccessFlags, access, execve};

use crate::error::{Context, Error, Result};
use crate::gate::{Gate, Message};
use crate::{hints, step, sys};

/// What to run; made before the clone, looked up by the child in its own root.
#[derive(Debug, Clone)]
pub struct Program {
    args: Vec<CString>,
    env: Vec<CString>,
    /// Whether it is killed when its parent ends (PR_SET_PDEATHSIG).
    pub dies_with_parent: bool,
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
            Some(_) => Ok(Self { args, env, dies_with_parent: false }),
        }
    }

    /// Looks the program up as a shell does: a name with a slash is a path, any
    /// other is searched for along PATH, here the PATH of the new environment.
    pub fn find(self) -> Result<Found> {
        let name = OsStr::from_bytes(self.args[0].as_bytes()).to_owned();
        let file = self.search(&name).map_err(|errno| {
            let what = match errno {
                Errno::ENOENT if name.as_bytes().contains(&b'/') => "no such file",
                Errno::ENOENT => "executable file not found in $PATH",
                _ => "not an executable file",
            };
            Error::os(format!("{name:?}: {what}"), errno).during("execve")
        })?;
        Ok(Found { file: c_string(file)?, program: self })
    }

    fn search(&self, name: &OsStr) -> nix::Result<OsString> {
        if name.as_bytes().contains(&b'/') {
            return executable(name).map(|()| name.to_owned());
        }
        if name.is_empty() {
            return Err(Errno::ENOENT);
        }
        let path = self.env.iter().find_map(|v| v.as_bytes().strip_prefix(b"PATH="));
        let mut refused = Errno::ENOENT;
        for dir in path.unwrap_or(b"/usr/bin:/bin").split(|&b| b == b':').filter(|d| !d.is_empty())
        {
            let file = [dir, b"/", name.as_bytes()].concat();
            let file = OsString::from_vec(file);
            match executable(&file) {
                Ok(()) => return Ok(file),
                // A directory that may not be searched does not count.
                Err(Errno::EACCES) if fs::metadata(&file).is_ok() => refused = Errno::EACCES,
                _ => {}
            }
        }
        Err(refused)
    }
}

fn executable(file: &OsStr) -> nix::Result<()> {
    let metadata =
        fs::metadata(file).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)))?;
    // Root's access(2) says yes to a directory, and to a file with any x bit at all.
    if !metadata.is_file() || metadata.mode() & 0o111 == 0 {
        return Err(Errno::EACCES);
    }
    access(file, AccessFlags::X_OK)
}

/// A program that exists and may be executed.
#[derive(Debug)]
pub struct Found {
    file: CString,
    program: Program,
}

impl Found {
    /// Becomes the program. From here on nothing else happens but execve, or exit.
    pub fn exec(self, gate: &Gate) -> Result<Infallible> {
        let file = &self.file;
        step!(
            "execve",
            "All is in place. The child becomes the program; every descriptor but \
             0, 1 and 2 closes, the gate among them, and so we know that it worked.",
            "ls -l /proc/PID/exe /proc/PID/fd",
            "execve({file:?}, ...)",
            self.become_it(gate),
        )
    }

    fn become_it(&self, gate: &Gate) -> Result<Infallible> {
        let Program { args, env, dies_with_parent } = &self.program;
        // ANCHOR: become_it
        sys::default_signals().call(|| "sigprocmask(SIG_SETMASK)")?;
        sys::close_on_exec_from_3().call(|| "close_range(3, ~0, CLOSE_RANGE_CLOEXEC)")?;
        if *dies_with_parent {
            // A change of ids clears it, so it cannot be set before this.
            prctl::set_pdeathsig(Signal::SIGKILL).call(|| "prctl(PR_SET_PDEATHSIG)")?;
        }
        // Should the parent have died before the line above: then this fails.
        gate.send(&Message::Exec)?;
        let Err(errno) = execve(&self.file, args, env);
        // ANCHOR_END: become_it
        Err(hints::execve(Error::os(format!("execve({:?})", self.file), errno)))
    }
}

fn c_string(text: impl Into<OsString>) -> Result<CString> {
    let text = text.into();
    CString::new(text.into_vec())
        .map_err(|error| Error::new(format!("a zero byte in {:?}", error.into_vec())))
}
