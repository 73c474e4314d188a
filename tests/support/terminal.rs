//! A program on a real terminal, looked at as a person would: by its screen.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::stat::Mode;

use crate::command::wait;
use crate::sys::{own_terminal, set_size};
use crate::wait::scaled;

/// How long (scaled) a screen may take to show what is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running program and the terminal that it runs on.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: vt100::Parser,
    transcript: Vec<u8>,
    closed: bool,
}

impl Terminal {
    /// Starts `command` as the leader of a session on a new terminal.
    pub fn spawn(mut command: Command, rows: u16, columns: u16) -> io::Result<Terminal> {
        let (keyboard, slave) = open_terminal()?;
        set_size(&keyboard, &size(rows, columns))?;
        command
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("RUST_BACKTRACE")
            .stdin(slave.try_clone()?)
            .stdout(slave.try_clone()?)
            .stderr(slave);
        own_terminal(&mut command);
        // Consumed with the command: our copies of the slave close here.
        let child = { command }.spawn()?;
        Ok(Terminal {
            child,
            keyboard,
            screen: vt100::Parser::new(rows, columns, 0),
            transcript: Vec::new(),
            closed: false,
        })
    }

    /// The process id of the program.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types `keys`: "ls\r", "\x03" for Ctrl-C, "\x04" for the end of input.
    pub fn type_keys(&mut self, keys: impl AsRef<[u8]>) -> io::Result<()> {
        self.keyboard.write_all(keys.as_ref())
    }

    /// What the screen shows, line by line, as far as it was read.
    pub fn screen(&self) -> String {
        self.screen.screen().contents()
    }

    /// All bytes so far, with control sequences and what has scrolled away.
    pub fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.transcript).into_owned()
    }

    /// Waits until the screen shows `text`.
    pub fn wait_for(&mut self, text: &str) -> Result<(), Failed> {
        self.wait_until(&format!("the screen shows {text:?}"), |screen| screen.contains(text))
    }

    /// Waits until `condition` holds for the screen's text.
    pub fn wait_until(
        &mut self,
        what: &str,
        condition: impl Fn(&str) -> bool,
    ) -> Result<(), Failed> {
        let start = Instant::now();
        while !condition(&self.screen()) {
            if self.closed || start.elapsed() > scaled(PATIENCE) {
                let why = if self.closed { "the terminal was closed" } else { "too late" };
                return Err(self.failed(&format!("{why}, and still not so: {what}")));
            }
            self.read_some();
        }
        Ok(())
    }

    /// Waits until `text` was said `count` times, also where that has scrolled away.
    pub fn wait_for_times(&mut self, text: &str, count: usize) -> Result<(), Failed> {
        let start = Instant::now();
        while self.transcript().matches(text).count() < count {
            if self.closed || start.elapsed() > scaled(PATIENCE) {
                return Err(self.failed(&format!("it did not say {text:?} {count} times")));
            }
            self.read_some();
        }
        Ok(())
    }

    /// Changes the size, as a window manager does; the program gets SIGWINCH.
    pub fn resize(&mut self, rows: u16, columns: u16) -> io::Result<()> {
        set_size(&self.keyboard, &size(rows, columns))?;
        self.screen.screen_mut().set_size(rows, columns);
        Ok(())
    }

    /// Reads until the last process has closed the terminal, and waits for the program.
    pub fn finish(&mut self) -> Result<ExitStatus, Failed> {
        let start = Instant::now();
        while !self.closed {
            if start.elapsed() > scaled(PATIENCE) {
                return Err(self.failed("the terminal is still in use"));
            }
            self.read_some();
        }
        wait(&mut self.child, PATIENCE).ok_or_else(|| self.failed("the program is still running"))
    }

    /// Closes the window, as one does with a mouse, and waits for the program.
    pub fn hang_up(mut self) -> Result<ExitStatus, Failed> {
        // Another descriptor in its place: closing the last master hangs up.
        self.keyboard = File::open("/dev/null")?;
        wait(&mut self.child, PATIENCE).ok_or_else(|| self.failed("the program is still running"))
    }

    /// A failure that shows the screen.
    pub fn failed(&self, why: &str) -> Failed {
        let transcript = self.transcript.escape_ascii();
        format!("{why}\n--- screen\n{}\n--- transcript\n{transcript}\n---", self.screen()).into()
    }

    /// Reads what comes within a moment.
    fn read_some(&mut self) {
        let mut ready = [PollFd::new(self.keyboard.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(50u8)) == Ok(0) {
            return;
        }
        let mut buffer = [0; 4096];
        match self.keyboard.read(&mut buffer) {
            // EIO is how a terminal says that nobody is left on the other side.
            Ok(0) | Err(_) => self.closed = true,
            Ok(n) => {
                self.transcript.extend(&buffer[..n]);
                self.screen.process(&buffer[..n]);
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Not waited for yet, so the pid is still its own. Closing the master then
        // hangs up on everything else in the session.
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// A new terminal: its master and its slave, both closed on exec from the start, for
/// other tests start programs meanwhile. (`openpty` cannot do that.)
fn open_terminal() -> io::Result<(File, File)> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = posix_openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = open(ptsname_r(&master)?.as_str(), flags, Mode::empty())?;
    Ok((File::from(OwnedFd::from(master)), File::from(slave)))
}
