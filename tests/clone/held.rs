//! A chapter's program that is running, held at a known point and looked at from outside.
//!
//! Shared by the suites of chapters 1 to 3, none of which needs all of it.

#![allow(dead_code)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use dockster_tests::{Failed, scaled, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long (scaled) a program may take to get where it is waited for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a shell has to do to be held: say that it is there, and stay until its input ends.
pub const STAY: &str = "echo ready; read line; exit 7";

/// The files of /proc/PID/ns.
pub const KINDS: [&str; 8] = ["user", "mnt", "pid", "uts", "ipc", "net", "cgroup", "time"];

/// A running program. Dropped, it is killed, and its child with it.
pub struct Held {
    program: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    /// The pid of the process inside, as the host counts.
    pub inside: u32,
}

impl Held {
    /// Starts `command`, whose program inside says `ready` in a line of its own.
    pub fn start(mut command: Command) -> Result<Held, Failed> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut program = command.spawn().map_err(|e| format!("{command:?}: {e}"))?;
        let input = program.stdin.take();
        let output = BufReader::new(program.stdout.take().expect("stdout is a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|l| sender.send(l))
        });
        let mut held = Held { program, input, lines, inside: 0 };
        held.wait_for_line("ready")?;
        let children = children(held.pid());
        match children[..] {
            [inside] => held.inside = inside,
            _ => return Err(format!("children of {}: {children:?}", held.pid()).into()),
        }
        Ok(held)
    }

    /// Reads the program's output up to this line.
    pub fn wait_for_line(&mut self, line: &str) -> Result<(), Failed> {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(scaled(PATIENCE)) {
                Ok(found) if found == line => return Ok(()),
                Ok(other) => seen.push(other),
                Err(why) => return Err(format!("not said ({why}): {line:?}, but {seen:?}").into()),
            }
        }
    }

    /// The pid of the chapter's program.
    pub fn pid(&self) -> u32 {
        self.program.id()
    }

    /// Sends the chapter's program a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), Failed> {
        Ok(kill(Pid::from_raw(self.pid() as i32), signal)?)
    }

    /// A file of the inner process under /proc, as the host sees it.
    pub fn proc(&self, file: &str) -> Result<String, Failed> {
        let path = format!("/proc/{}/{file}", self.inside);
        fs::read_to_string(&path).map_err(|e| format!("{path}: {e}").into())
    }

    /// A line of the inner process's status: the words behind `Name:`.
    pub fn status(&self, name: &str) -> Result<String, Failed> {
        Ok(status_line(&self.proc("status")?, name))
    }

    /// Which of its namespaces are not ours, by their names under /proc/PID/ns.
    pub fn own_namespaces(&self) -> Result<Vec<&'static str>, Failed> {
        let mut own = Vec::new();
        for kind in KINDS {
            if namespace(self.inside, kind)? != namespace(std::process::id(), kind)? {
                own.push(kind);
            }
        }
        Ok(own)
    }

    /// Ends its input, and waits for the program: the status, and the rest of its output.
    pub fn finish(&mut self) -> Result<(ExitStatus, String), Failed> {
        drop(self.input.take());
        let status = self.ended()?;
        let mut rest = String::new();
        while let Ok(line) = self.lines.recv_timeout(scaled(PATIENCE)) {
            rest += &(line + "\n");
        }
        Ok((status, rest))
    }

    /// Waits until the program has ended by itself.
    pub fn ended(&mut self) -> Result<ExitStatus, Failed> {
        let mut status = None;
        wait_until("the program has ended", PATIENCE, || {
            status = self.program.try_wait().expect("wait for a child");
            status.is_some()
        })?;
        Ok(status.expect("it has ended"))
    }

    /// How the program has ended, if it has.
    pub fn try_ended(&mut self) -> Option<ExitStatus> {
        self.program.try_wait().expect("wait for a child")
    }

    /// Kills the program with a signal that it cannot handle, if it has not ended yet.
    pub fn kill(&mut self) {
        // Not waited for yet, so the pid is still its own.
        if let Ok(None) = self.program.try_wait() {
            let _ = self.program.kill();
            let _ = self.program.wait();
        }
    }

    /// Fails if the inner process is still there after a while.
    pub fn inside_is_gone(&self) -> Result<(), Failed> {
        wait_until("the process inside is gone", PATIENCE, || is_gone(self.inside))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The children of a process with one thread.
pub fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Whether a process has ended: gone, or a zombie that somebody else has to reap.
pub fn is_gone(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z"))
}

/// Which namespace of this kind a process is in.
pub fn namespace(pid: u32, kind: &str) -> Result<String, Failed> {
    let path = format!("/proc/{pid}/ns/{kind}");
    let link = fs::read_link(&path).map_err(|e| format!("{path}: {e}"))?;
    Ok(link.to_string_lossy().into_owned())
}

/// The words behind `Name:` in a status file.
pub fn status_line(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or("").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lines of numbers as the kernel prints maps, with single spaces.
pub fn words(text: &str) -> String {
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The names of the steps that `--timings` lists, in order.
pub fn steps_of(stderr: &str) -> Vec<String> {
    let table = stderr.lines().skip_while(|line| !line.ends_with("ms  step")).skip(1);
    let names = table.filter_map(|line| line.split_whitespace().nth(1));
    names.take_while(|name| *name != "all").map(str::to_owned).collect()
}
