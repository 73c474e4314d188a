//! What an exercise's `check.rs` is written with.
//!
//! A checker starts the learner's program in the lab's sandbox, waits until one of its
//! processes stops at a named point ([`checkpoint`](../checkpoint/index.html)), and
//! looks at that process through `/proc` and cgroup files: never at what it prints.

mod output;
mod points;
mod scratch;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::exercise::Exercise;
use crate::{checks, needs};
use output::Output;
use points::Points;
use scratch::Scratch;

/// What a checker says at its end: what was seen to be right, in a sentence, or what not.
pub type Judgement = Result<String, Verdict>;

/// The function in a `check.rs`.
pub type Check = fn(&mut Attempt) -> Judgement;

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

/// Judges a program as an answer to an exercise that is no hole. `x` is the program of
/// `cargo x`, whose sandbox it runs in.
pub fn judge(x: &Path, exercise: &Exercise, program: &Path) -> Judgement {
    needs::met(&exercise.needs)?;
    let check = checks::find(&exercise.id).ok_or_else(|| Verdict::Host {
        because: format!("this cargo x has no checker for {}", exercise.id),
        cure: "call it as `cargo x`, so that it is built anew".into(),
    })?;
    judge_with(check, x, &exercise.id, program)
}

/// Judges a program with a checker that lies elsewhere.
pub fn judge_with(check: Check, x: &Path, id: &str, program: &Path) -> Judgement {
    check(&mut Attempt {
        x: x.to_owned(),
        chapter: id.split('.').next().unwrap_or(id).to_owned(),
        program: program.to_owned(),
        scratch: Scratch::new().map_err(host)?,
    })
}

/// What went wrong on our side, not the learner's.
fn host(error: std::io::Error) -> Verdict {
    let cure = "see whether `cargo x doctor` finds something".into();
    Verdict::Host { because: format!("the checker itself failed: {error}"), cure }
}

/// One attempt at an exercise: a program, and a scratch directory.
pub struct Attempt {
    x: PathBuf,
    chapter: String,
    program: PathBuf,
    scratch: Scratch,
}

impl Attempt {
    /// An empty directory of this attempt, removed afterwards.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// A small root file system below [`Self::scratch`], made at the first call (a copy:
    /// the program may change it).
    pub fn rootfs(&mut self) -> Result<PathBuf, Verdict> {
        let root = self.scratch().join("rootfs");
        if !root.exists() {
            let made = Command::new(&self.x).arg("rootfs").arg(&root).output().map_err(host)?;
            if !made.status.success() {
                let said = String::from_utf8_lossy(&made.stderr);
                return Err(host(std::io::Error::other(said.trim().to_owned())));
            }
        }
        Ok(root)
    }

    /// Starts the program with these arguments in the sandbox, working directory
    /// [`Self::scratch`], standard input empty.
    ///
    /// One attempt may start it several times.
    pub fn start(&mut self, arguments: &[&str]) -> Result<Running, Verdict> {
        let (points, theirs) = Points::new().map_err(host)?;
        let (output, stdout, stderr) = Output::new().map_err(host)?;
        let mut sandbox = self.sandbox(theirs.number());
        sandbox
            .args(arguments)
            .env("DOCKSTER_CHECKPOINT", theirs.number().to_string())
            .env("LC_ALL", "C.UTF-8")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr);
        let child = sandbox.spawn().map_err(host)?;
        let mut running = Running { child, pid: NOBODY, points, output, status: None };
        running.find_program();
        running.sandbox_stands()?;
        Ok(running)
    }

    /// The lab's sandbox in its quiet form. What was started with it dies with it.
    fn sandbox(&self, socket: i32) -> Command {
        let mut command = Command::new(&self.x);
        command
            .args(["lab", &self.chapter, "--raw", "--keep", &socket.to_string(), "--scratch"])
            .arg(self.scratch())
            .arg("--")
            .arg(&self.program);
        command
    }
}

/// The learner's program while it runs. Dropped, all its processes are killed.
pub struct Running {
    /// The sandbox's process outside.
    child: Child,
    pid: Pid,
    points: Points,
    output: Output,
    status: Option<ExitStatus>,
}

/// No process has this pid: it is above the kernel's highest limit.
const NOBODY: Pid = Pid::from_raw(i32::MAX);

impl Running {
    /// The program's own process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until some process of it stops at the point `name`. `NotDone` if it
    /// panics with `todo!()`, ends or does not come in time; what it said is in the text.
    pub fn until(&mut self, name: &str) -> Result<Stopped, Verdict> {
        let end = Instant::now() + scaled(LONG);
        loop {
            // Whether it has ended is asked first: what it sent before that is there then.
            let ended = self.ended();
            self.points.gather(Duration::from_millis(20)).map_err(host)?;
            if let Some(stopped) = self.points.take(name) {
                return Ok(stopped);
            }
            if self.output.says_todo() {
                return Err(self.not_done("`todo!()` is still there"));
            }
            if let Some(status) = ended {
                let how = how(status);
                return Err(self.not_done(&format!("it {how} before the point \"{name}\"")));
            }
            if Instant::now() > end {
                let seconds = scaled(LONG).as_secs();
                return Err(self.not_done(&format!("it was not at \"{name}\" after {seconds} s")));
            }
        }
    }

    /// Lets a stopped process go on.
    pub fn go(&mut self, stopped: &Stopped) {
        self.points.go(stopped);
    }

    /// Waits for its end, with a time limit (`NotDone` if it is over).
    pub fn end(mut self) -> Result<Ended, Verdict> {
        let _ = self.patiently(|running| running.ended().is_some());
        let Some(status) = self.status else {
            let seconds = scaled(LONG).as_secs();
            return Err(self.not_done(&format!("it had not ended after {seconds} s")));
        };
        let ended = Ended { status, output: self.output.text() };
        match self.output.says_todo() {
            true => Err(self.not_done("`todo!()` is still there")),
            false => Ok(ended),
        }
    }

    /// Waits (some seconds at most) until `condition` holds; what it returned last.
    pub fn wait_until(&self, mut condition: impl FnMut() -> bool) -> bool {
        let end = Instant::now() + scaled(SHORT);
        while !condition() {
            if Instant::now() > end {
                return false;
            }
            sleep(Duration::from_millis(5));
        }
        true
    }

    /// What it has said so far, to be shown, never judged.
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// Outside of the sandbox stands `x`, in it its PID 1, and that one's first child
    /// is the program.
    fn find_program(&mut self) {
        let outside = Pid::from_raw(self.child.id() as i32);
        self.patiently(|running| {
            let inner = look::children(outside).first().copied();
            let program = inner.and_then(|inner| look::children(inner).first().copied());
            running.pid = program.unwrap_or(NOBODY);
            program.is_some() || running.ended().is_some()
        });
    }

    /// A sandbox that cannot be made is not the learner's fault. It says why, as x does.
    fn sandbox_stands(&self) -> Result<(), Verdict> {
        let says = || self.output.text().starts_with("cargo x: ");
        if self.pid != NOBODY || self.status.and_then(|status| status.code()) != Some(125) {
            return Ok(());
        }
        // Its words may come a little after its end.
        match self.wait_until(says) {
            true => Err(host(std::io::Error::other(self.output.text().trim().to_owned()))),
            false => Ok(()),
        }
    }

    fn patiently(&mut self, mut condition: impl FnMut(&mut Running) -> bool) -> bool {
        let end = Instant::now() + scaled(LONG);
        while !condition(self) {
            if Instant::now() > end {
                return false;
            }
            sleep(Duration::from_millis(5));
        }
        true
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap_or_default();
        }
        self.status
    }

    /// What is missing, where its processes stand, and what it said.
    fn not_done(&self, missed: &str) -> Verdict {
        let mut text = missed.to_owned();
        let standing = self.points.standing();
        if !standing.is_empty() {
            text += &format!("; it stands at {}", standing.join(" and "));
        }
        let said = self.output.text();
        if !said.trim().is_empty() {
            text += &format!(".\nIt said:\n{}", said.trim_end());
        }
        Verdict::NotDone(text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The lab's PID 1 alone: `x` then takes the lab's cgroup away, and ends.
        let x = Pid::from_raw(self.child.id() as i32);
        let end = Instant::now() + scaled(SHORT);
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            look::children(x).first().map(|init| kill(*init, Signal::SIGKILL));
            sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long a point or the end is waited for.
const LONG: Duration = Duration::from_secs(10);
/// How long a condition is waited for: a wrong answer lets this pass each time.
const SHORT: Duration = Duration::from_secs(5);

/// A time limit on a slow machine. Not stretched as far as others: a program here is small,
/// and what never comes is the usual thing.
fn scaled(limit: Duration) -> Duration {
    let scale = std::env::var("DOCKSTER_TEST_SCALE").ok().and_then(|scale| scale.parse().ok());
    limit * scale.unwrap_or(1).min(6)
}

fn how(status: ExitStatus) -> String {
    match status.code() {
        Some(code @ 129..=192) => format!("was killed by signal {}", code - 128),
        Some(code) => format!("ended with exit status {code}"),
        None => format!("ended ({status})"),
    }
}

/// How it ended.
pub struct Ended {
    /// The program's exit status; 128 and the signal, if a signal killed it.
    pub status: ExitStatus,
    /// What it said, to be shown, never judged.
    pub output: String,
}

/// A process that stands at a point, as seen from outside.
#[derive(Debug, Clone)]
pub struct Stopped {
    /// Its pid in the checker's namespace.
    pub pid: Pid,
    /// Which arrival this is.
    number: usize,
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
