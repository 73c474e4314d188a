//! Running a program with a time limit, and keeping what it said.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::wait::{scaled, wait_until};

/// A program to run: arguments, input, and 30 seconds (scaled) to do it.
#[derive(Debug)]
pub struct Run {
    command: Command,
    input: Vec<u8>,
    limit: Duration,
}

/// A program that has ended.
#[derive(Clone, Debug)]
pub struct Done {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout; invalid UTF-8 is replaced.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
    shown: String,
}

impl Run {
    /// A run of `program`, with `LC_ALL=C.UTF-8` and no backtraces.
    pub fn new(program: impl AsRef<OsStr>) -> Run {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C.UTF-8").env_remove("RUST_BACKTRACE");
        Run { command, input: Vec::new(), limit: Duration::from_secs(30) }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Run {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Run {
        self.command.args(args);
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Run {
        self.command.env(name, value);
        self
    }

    /// Sets the working directory.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Run {
        self.command.current_dir(dir);
        self
    }

    /// What the program reads on stdin; nothing by default.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Run {
        self.input = input.into();
        self
    }

    /// Another time limit, to be scaled on a slow machine.
    pub fn limit(mut self, limit: Duration) -> Run {
        self.limit = limit;
        self
    }

    /// The command as it stands, for a `Terminal` or a program in the background.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs it to its end, whatever its exit status.
    pub fn done(mut self) -> Result<Done, Failed> {
        let shown = format!("{:?}", self.command);
        let start = Instant::now();
        // A process group of its own: at the time limit it ends with its children.
        let mut child = self
            .command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot start {shown}: {e}"))?;
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        // A program that does not read its input is no error here.
        thread::spawn(move || stdin.write_all(&self.input));
        let stdout = collect(child.stdout.take().expect("stdout is a pipe"));
        let stderr = collect(child.stderr.take().expect("stderr is a pipe"));

        let status = wait(&mut child, self.limit);
        let took = start.elapsed();
        if status.is_none() {
            // It has not been waited for, so its pid is still its own.
            let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
            let _ = child.wait();
        }
        // What holds the pipes open now is a process that was left behind.
        let end = Instant::now() + scaled(Duration::from_secs(1));
        let (stdout, out_open) = gather(&stdout, end);
        let (stderr, err_open) = gather(&stderr, end);
        let done =
            Done { status: status.unwrap_or(ExitStatus::from_raw(9)), stdout, stderr, took, shown };
        if status.is_none() {
            return Err(done.failed(&format!("still running after {took:.1?}")));
        }
        if out_open || err_open {
            return Err(
                done.failed("it ended, but something that it left behind holds its output open")
            );
        }
        Ok(done)
    }

    /// Runs it to its end; any exit status but 0 is a failure.
    pub fn success(self) -> Result<Done, Failed> {
        self.code(0)
    }

    /// Runs it to its end; any other exit status than `code` is a failure.
    pub fn code(self, code: i32) -> Result<Done, Failed> {
        let done = self.done()?;
        match done.status.code() {
            Some(c) if c == code => Ok(done),
            _ => Err(done.failed(&format!("expected exit status {code}, got {}", done.status))),
        }
    }
}

impl Done {
    /// A failure that shows the command and everything it wrote.
    pub fn failed(&self, why: &str) -> Failed {
        let Done { stdout, stderr, shown, .. } = self;
        format!("{why}\n--- command\n{shown}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---")
            .into()
    }

    /// Fails unless stdout contains `text`.
    pub fn says(&self, text: &str) -> Result<&Done, Failed> {
        if self.stdout.contains(text) {
            Ok(self)
        } else {
            Err(self.failed(&format!("stdout lacks {text:?}")))
        }
    }

    /// Fails unless stderr contains `text`.
    pub fn complains(&self, text: &str) -> Result<&Done, Failed> {
        if self.stderr.contains(text) {
            Ok(self)
        } else {
            Err(self.failed(&format!("stderr lacks {text:?}")))
        }
    }
}

/// The exit status, or `None` at the time limit.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let mut status = None;
    let _ = wait_until("the program has ended", limit, || {
        status = child.try_wait().expect("wait for a child");
        status.is_some()
    });
    status
}

/// Reads a pipe on a thread; end of file is the end of the channel.
fn collect(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            if sender.send(buffer[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Everything that came through the pipe, and whether it is still open at `end`.
fn gather(pipe: &Receiver<Vec<u8>>, end: Instant) -> (String, bool) {
    let mut bytes = Vec::new();
    let open = loop {
        match pipe.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(part) => bytes.extend(part),
            Err(e) => break e == std::sync::mpsc::RecvTimeoutError::Timeout,
        }
    };
    (String::from_utf8_lossy(&bytes).into_owned(), open)
}
