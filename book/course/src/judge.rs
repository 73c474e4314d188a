//! What an exercise's `check.rs` is written with.
//!
//! A checker starts the learner's program in the lab's sandbox, waits until one of its
//! processes stops at a named point ([`checkpoint`](../checkpoint/index.html)), and
//! looks at that process through `/proc` and cgroup files: never at what it prints.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use nix::unistd::Pid;

/// What a checker says at its end: what was seen to be right, in a sentence, or what not.
pub type Judgement = Result<String, Verdict>;

/// Why an exercise is not done.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It is not done yet: `todo!()`, or it ended before the point. The text says what was missed.
    NotDone(String),
    /// It is wrong.
    Wrong {
        /// The section of hints.md that fits.
        hint: &'static str,
        /// What the kernel says.
        observed: String,
        /// What it should say.
        expected: String,
        /// A command that shows it.
        look: String,
    },
    /// This host cannot run it.
    Host {
        /// What is missing.
        because: String,
        /// What to do.
        cure: String,
    },
}

/// A verdict in the making: `wrong("no-map", observed, expected, look)`.
pub fn wrong(
    hint: &'static str,
    observed: impl Into<String>,
    expected: impl Into<String>,
    look: impl Into<String>,
) -> Verdict {
    Verdict::Wrong { hint, observed: observed.into(), expected: expected.into(), look: look.into() }
}

/// One attempt at an exercise: a program, and a scratch directory.
pub struct Attempt {
    program: PathBuf,
    scratch: PathBuf,
}

impl Attempt {
    /// An empty directory of this attempt, removed afterwards.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// A small root file system below [`Self::scratch`], made at the first call (a copy:
    /// the program may change it).
    pub fn rootfs(&mut self) -> Result<PathBuf, Verdict> {
        todo!()
    }

    /// Starts the program with these arguments in the sandbox, working directory
    /// [`Self::scratch`], standard input empty.
    pub fn start(&mut self, arguments: &[&str]) -> Result<Running, Verdict> {
        let _ = (&self.program, arguments);
        todo!()
    }
}

/// The learner's program while it runs. Dropped, all its processes are killed.
pub struct Running {}

impl Running {
    /// The program's own process.
    pub fn pid(&self) -> Pid {
        todo!()
    }

    /// Waits until some process of it stops at the point `name`. `NotDone` if it
    /// panics with `todo!()`, ends or does not come in time; what it said is in the text.
    pub fn until(&mut self, name: &str) -> Result<Stopped, Verdict> {
        let _ = name;
        todo!()
    }

    /// Lets a stopped process go on.
    pub fn go(&mut self, stopped: &Stopped) {
        let _ = stopped;
    }

    /// Waits for its end, with a time limit (`NotDone` if it is over).
    pub fn end(self) -> Result<Ended, Verdict> {
        todo!()
    }

    /// Waits (some seconds at most) until `condition` holds; what it returned last.
    pub fn wait_until(&self, condition: impl FnMut() -> bool) -> bool {
        let _ = condition;
        todo!()
    }
}

/// How it ended.
pub struct Ended {
    /// The program's exit status.
    pub status: ExitStatus,
    /// What it said, to be shown, never judged.
    pub output: String,
}

/// A process that stands at a point, as seen from outside.
#[derive(Debug, Clone)]
pub struct Stopped {
    /// Its pid in the checker's namespace.
    pub pid: Pid,
}

/// Any process, looked at from outside: `/proc/PID/...`.
pub mod look {
    use super::*;

    /// The text of `/proc/PID/NAME`; empty if it cannot be read.
    pub fn read(pid: Pid, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default()
    }

    /// The target of `/proc/PID/NAME`, say `ns/uts`; empty if it cannot be read.
    pub fn link(pid: Pid, name: &str) -> String {
        std::fs::read_link(format!("/proc/{pid}/{name}"))
            .map(|target| target.display().to_string())
            .unwrap_or_default()
    }

    /// A line of `/proc/PID/status`, without its name: `field(pid, "NSpid")`.
    pub fn field(pid: Pid, name: &str) -> String {
        let status = read(pid, "status");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    }

    /// The children of a process, now.
    pub fn children(pid: Pid) -> Vec<Pid> {
        let all = read(pid, &format!("task/{pid}/children"));
        all.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
    }
}
