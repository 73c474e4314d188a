//! A shell on a terminal of its own, and what it said.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::unistd::{Pid, tcgetpgrp, ttyname};

/// The size: what the book promises to fit into.
const SIZE: Winsize = Winsize { ws_row: 24, ws_col: 78, ws_xpixel: 0, ws_ypixel: 0 };

pub(super) struct Terminal {
    shell: Child,
    keyboard: File,
    /// `pts/3`
    pub(super) name: String,
    bytes: Vec<u8>,
    /// Up to here it belongs to a step.
    taken: usize,
    pub(super) closed: bool,
}

impl Terminal {
    /// Starts the shell, as the leader of a session.
    pub(super) fn start(shell: &Command) -> io::Result<Terminal> {
        let pair = openpty(&SIZE, None)?;
        fcntl(&pair.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        fcntl(&pair.slave, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        let name = ttyname(&pair.slave)?.to_string_lossy().replacen("/dev/", "", 1);
        // setsid(1) gives it the terminal, and becomes the shell: the pid is the shell's.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(shell.get_program()).args(shell.get_args()).env_clear();
        for (key, value) in shell.get_envs() {
            value.map(|value| command.env(key, value));
        }
        shell.get_current_dir().map(|dir| command.current_dir(dir));
        command.stdin(pair.slave.try_clone()?).stdout(pair.slave.try_clone()?).stderr(pair.slave);
        let shell = command.spawn()?;
        Ok(Terminal {
            shell,
            keyboard: File::from(pair.master),
            name,
            bytes: Vec::new(),
            taken: 0,
            closed: false,
        })
    }

    /// The shell, and so the session.
    pub(super) fn pid(&self) -> Pid {
        Pid::from_raw(self.shell.id() as i32)
    }

    pub(super) fn type_keys(&mut self, keys: &str) -> io::Result<()> {
        self.keyboard.write_all(keys.as_bytes())
    }

    /// What it said since the last [`Self::take`], as text.
    pub(super) fn said(&self) -> String {
        plain(&self.bytes[self.taken..])
    }

    /// As [`Self::said`], and the next step begins here.
    pub(super) fn take(&mut self) -> String {
        let said = self.said();
        self.taken = self.bytes.len();
        said
    }

    /// Takes only the first line.
    pub(super) fn take_line(&mut self) -> String {
        let rest = &self.bytes[self.taken..];
        let end = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |n| n + 1);
        let line = plain(&rest[..end]);
        self.taken += end;
        line.trim_end_matches('\n').to_owned()
    }

    /// Whether a program, not the shell, has the terminal.
    pub(super) fn is_busy(&self) -> bool {
        tcgetpgrp(&self.keyboard).is_ok_and(|group| group != self.pid())
    }

    /// Reads what comes within a moment.
    pub(super) fn read_some(&mut self) {
        let mut ready = [PollFd::new(self.keyboard.as_fd(), PollFlags::POLLIN)];
        if self.closed || poll(&mut ready, PollTimeout::from(10u8)) == Ok(0) {
            return;
        }
        let mut buffer = [0; 4096];
        match self.keyboard.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // EIO is how a terminal says that nobody is left on the other side.
            Ok(0) | Err(_) => self.closed = true,
            Ok(n) => self.bytes.extend(&buffer[..n]),
        }
    }

    /// Waits for the shell's end.
    pub(super) fn ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Ok(Some(status)) = self.shell.try_wait() {
                return Some(status);
            }
            if start.elapsed() > patience {
                return None;
            }
            self.read_some();
            if self.closed {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Closes the window, as one does with a mouse.
    pub(super) fn hang_up(&mut self) -> io::Result<()> {
        // Another descriptor in its place: closing the last master hangs up.
        self.keyboard = File::open("/dev/null")?;
        self.closed = true;
        Ok(())
    }

    /// Ends the shell, if it is not gone.
    pub(super) fn kill(&mut self) {
        if let Ok(None) = self.shell.try_wait() {
            let _ = self.shell.kill();
            let _ = self.shell.wait();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Text without carriage returns, bells and control sequences.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\r' | '\u{7}' => {}
            '\u{1b}' => skip_sequence(&mut rest),
            c => plain.push(c),
        }
    }
    plain
}

/// What follows an escape: `[6n`, `]0;title BEL`, or one character.
fn skip_sequence(rest: &mut std::str::Chars) {
    match rest.next() {
        Some('[') => {
            rest.find(|c| ('@'..='~').contains(c));
        }
        Some(']') => {
            rest.find(|c| matches!(c, '\u{7}' | '\\'));
        }
        _ => {}
    }
}
