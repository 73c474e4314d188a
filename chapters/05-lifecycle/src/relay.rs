//! Catalogue: not needed to understand the chapter.
//!
//! In the foreground: bytes, signals and window sizes, until the container ends.
//!
//! One loop over poll(2). Each direction is a pump, which reads only when
//! what it has read before is written: a slow reader slows the writer, and
//! nothing is lost.

use std::io::{stderr, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ch01_clone::{Context, ExitStatus, Result, Signals};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::{PIPE_BUF, SIGKILL};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};

use crate::launch::{Started, Streams};
use crate::pty::{self, Raw};

/// Carries everything between the user and the container, and waits for its end.
/// With `interactive` our standard input is the container's.
pub fn relay(started: Started, mut signals: Signals, interactive: bool) -> Result<ExitStatus> {
    let Started { child, streams } = started;
    let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().call(|| "fcntl(F_DUPFD_CLOEXEC)");
    let (out, err) = (copy(stdout().as_fd())?, copy(stderr().as_fd())?);
    let (mut pumps, master, _raw) = match streams {
        Streams::Terminal(master) => {
            let mut pumps = vec![Pump::new(copy(master.as_fd())?, out)];
            if interactive {
                pumps.push(Pump::new(copy(stdin().as_fd())?, copy(master.as_fd())?).ours());
            }
            (pumps, Some(master), if interactive { Some(Raw::stdin()?) } else { None })
        }
        Streams::Inherited => (Vec::new(), None, None),
        Streams::Pipes { stdin: input, stdout, stderr } => {
            let mut pumps = vec![Pump::new(stdout, out), Pump::new(stderr, err)];
            if let Some(input) = input {
                pumps.push(Pump::new(copy(stdin().as_fd())?, input).ours());
            }
            (pumps, None, None)
        }
    };
    let mut ended = false;
    // Once it has ended, what it has written is still to be carried, and no more.
    while !ended || pumps.iter().any(|pump| !pump.input && !pump.done()) {
        let mut ready = vec![
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(child.pidfd(), if ended { PollFlags::empty() } else { PollFlags::POLLIN }),
        ];
        let waiting: Vec<usize> = (0..pumps.len()).filter(|&i| !pumps[i].done()).collect();
        ready.extend(waiting.iter().map(|&i| pumps[i].waits_for()));
        // In a pipeline of a shell whoever writes what nobody reads is killed by
        // SIGPIPE. A program that is PID 1 does not even notice that.
        let unread = !ended && pumps.iter().any(|pump| pump.unread);
        match poll(&mut ready, if unread { PollTimeout::from(1000u16) } else { PollTimeout::NONE })
        {
            Ok(0) => child.signal(SIGKILL)?,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).call(|| "poll"),
        }
        let is_ready: Vec<bool> = ready.iter().map(|fd| fd.any() == Some(true)).collect();
        drop(ready);
        ended |= is_ready[1];
        if is_ready[0] {
            pass_on(&mut signals, &child, master.as_ref())?;
        }
        for (&pump, _) in waiting.iter().zip(&is_ready[2..]).filter(|(_, ready)| **ready) {
            pumps[pump].turn()?;
        }
    }
    child.wait()
}

fn pass_on(
    signals: &mut Signals,
    child: &ch01_clone::Child,
    master: Option<&OwnedFd>,
) -> Result<()> {
    // ANCHOR: resized
    match (signals.forward(child, false)?, master) {
        (true, Some(master)) => {
            let (rows, columns) = pty::size();
            pty::resize(master.as_fd(), rows, columns)
        }
        _ => Ok(()),
    }
    // ANCHOR_END: resized
}

/// One direction: from a descriptor to another, with what is between them.
struct Pump {
    from: Option<OwnedFd>,
    to: Option<OwnedFd>,
    buffer: Vec<u8>,
    written: usize,
    /// Whether it carries the user's input: it does not keep us from ending.
    input: bool,
    /// Whether it carries output that nobody reads any more.
    unread: bool,
}

impl Pump {
    fn new(from: OwnedFd, to: OwnedFd) -> Self {
        Self {
            from: Some(from),
            to: Some(to),
            buffer: Vec::new(),
            written: 0,
            input: false,
            unread: false,
        }
    }

    /// The user's input, to a pipe or terminal that is ours alone: writing must not block.
    fn ours(mut self) -> Self {
        self.input = true;
        if let Some(to) = &self.to {
            // A descriptor that cannot be made so blocks at worst.
            let _ = fcntl(to, FcntlArg::F_SETFL(OFlag::O_NONBLOCK | OFlag::O_RDWR));
        }
        self
    }

    fn done(&self) -> bool {
        self.to.is_none()
    }

    fn pending(&self) -> bool {
        self.written < self.buffer.len()
    }

    fn waits_for(&self) -> PollFd<'_> {
        match (&self.from, &self.to) {
            (_, Some(to)) if self.pending() => PollFd::new(to.as_fd(), PollFlags::POLLOUT),
            (Some(from), _) => PollFd::new(from.as_fd(), PollFlags::POLLIN),
            _ => unreachable!("a pump that is done is not waited for"),
        }
    }

    /// Writes what is pending, else reads more.
    fn turn(&mut self) -> Result<()> {
        let (Some(from), Some(to)) = (&self.from, &self.to) else { return Ok(()) };
        if self.pending() {
            // A pipe that is ready takes PIPE_BUF bytes without blocking, whoever else
            // writes to it; blocking here would stop signals and the other direction.
            let end = self.buffer.len().min(self.written + PIPE_BUF);
            match write(to, &self.buffer[self.written..end]) {
                Ok(count) => self.written += count,
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                // Whoever read this has gone; whoever writes shall hear of it.
                Err(Errno::EPIPE | Errno::EIO) => {
                    self.unread = !self.input;
                    self.close();
                }
                Err(errno) => return Err(errno).call(|| "write"),
            }
            return Ok(());
        }
        self.buffer.resize(65536, 0);
        let count = match read(from, &mut self.buffer) {
            Ok(count) => count,
            // Nobody has the slave side open any more: a terminal's end of file.
            Err(Errno::EIO) => 0,
            Err(Errno::EAGAIN | Errno::EINTR) => return self.keep(0),
            Err(errno) => return Err(errno).call(|| "read"),
        };
        if count == 0 {
            self.close();
        }
        self.keep(count)
    }

    fn keep(&mut self, count: usize) -> Result<()> {
        self.buffer.truncate(count);
        self.written = 0;
        Ok(())
    }

    fn close(&mut self) {
        (self.from, self.to) = (None, None);
        self.buffer.clear();
        self.written = 0;
    }
}
