//! The processes that are put into cgroups: this program again, told what to do.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write, stdin, stdout};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio, exit};

use ch01_clone::error::Context;
use ch01_clone::{Namespaces, Plan, Result};
use ch03_cgroups::Cgroup;
use dockster_tests::Failed;
use nix::unistd::Pid;

/// Which of the roles below to play.
pub(crate) const MODE: &str = "DOCKSTER_TEST_CHILD";

const MIB: usize = 1 << 20;

/// One role, from the gate to the end.
pub(crate) fn main(mode: &str) -> ! {
    let mut gate = [0];
    if stdin().read_exact(&mut gate).is_err() {
        exit(99); // the test is gone
    }
    match mode {
        "eat" => drop(eat(200)),
        "eat-and-stay" => {
            let _eaten = eat(50);
            sleep();
        }
        "sleep" => sleep(),
        "spin" => loop {
            std::hint::black_box(0);
        },
        "bomb" => bomb(),
        "family" => family(),
        "sh" => shell(),
        "born" => born(),
        "cgroup" => say(&std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default()),
        _ => exit(98),
    }
    exit(0)
}

/// Uses this many MiB, really.
fn eat(mib: usize) -> Vec<Vec<u8>> {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    for _ in 0..mib {
        eaten.push(vec![1; MIB]);
    }
    say(&format!("ate {}", eaten.len()));
    eaten
}

/// Until the test ends.
fn sleep() {
    let _ = stdin().read_to_end(&mut Vec::new());
}

/// Starts processes until the kernel refuses, says how many, and stays.
fn bomb() {
    let refused = (0..1000).find(|_| Command::new("sleep").arg("600").spawn().is_err());
    say(&format!("{refused:?}"));
    sleep();
}

/// A process with a child and a grandchild, none of which knows SIGTERM.
fn family() {
    let started = Command::new("sh")
        .args(["-c", "trap '' TERM; sh -c \"trap '' TERM; echo ready; sleep 600; :\"; :"])
        .exec();
    panic!("sh: {started}");
}

/// Becomes a shell that runs what it is told.
fn shell() {
    let mut script = String::new();
    let _ = stdin().lock().read_line(&mut script);
    let started = Command::new("sh").args(["-c", script.trim()]).exec();
    panic!("sh: {started}");
}

/// Clones a process straight into the cgroup whose directory it is told. This
/// takes a process with one thread, which a test has not.
fn born() {
    let mut dir = String::new();
    let _ = stdin().lock().read_line(&mut dir);
    let run = || -> Result<i32> {
        let dir = std::fs::File::open(dir.trim()).call(|| "open")?;
        let plan =
            Plan { namespaces: Namespaces::of([]), cgroup: Some(dir.as_fd()), ..Plan::default() };
        let waiting = plan.spawn(|_| -> Result<Infallible> {
            say(&std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default());
            exit(0)
        })?;
        // It exits without an execve, which is an error for `start`.
        Ok(waiting.start().map_or(0, |_| 1))
    };
    match run() {
        Ok(status) => exit(status),
        Err(error) => say(&format!("{error}")),
    }
}

fn say(line: &str) {
    let _ = writeln!(stdout(), "{}", line.trim_end());
    let _ = stdout().flush();
}

/// A child at its gate, or running. Dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    gate: ChildStdin,
}

impl Process {
    /// Starts one that waits at its gate, where this process is.
    pub(crate) fn waiting(mode: &str) -> Result<Self, Failed> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(MODE, mode).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let gate = child.stdin.take().ok_or("no stdin")?;
        Ok(Self { child, gate })
    }

    /// Starts one in `cgroup`, and lets it go.
    pub(crate) fn started(mode: &str, cgroup: &Cgroup) -> Result<Self, Failed> {
        let mut process = Self::waiting(mode)?;
        cgroup.add(process.pid())?;
        process.go("")?;
        Ok(process)
    }

    /// Runs a script in `cgroup`, and gives what it prints.
    pub(crate) fn script(cgroup: &Cgroup, script: &str) -> Result<String, Failed> {
        let mut process = Self::waiting("sh")?;
        cgroup.add(process.pid())?;
        process.go(script)?;
        process.text()
    }

    /// Opens the gate; what comes after it can be read.
    pub(crate) fn go(&mut self, words: &str) -> Result<(), Failed> {
        self.gate.write_all(format!("!{words}\n").as_bytes())?;
        Ok(())
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// The next line that it says; empty when it is gone.
    pub(crate) fn line(&mut self) -> Result<String, Failed> {
        let mut line = String::new();
        BufReader::new(self.child.stdout.as_mut().ok_or("no stdout")?).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// All that it says until it is gone.
    pub(crate) fn text(&mut self) -> Result<String, Failed> {
        let mut text = String::new();
        self.child.stdout.as_mut().ok_or("no stdout")?.read_to_string(&mut text)?;
        Ok(text)
    }

    pub(crate) fn wait(&mut self) -> Result<ExitStatus, Failed> {
        Ok(self.child.wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
