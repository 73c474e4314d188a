//! The monitor in the foreground: the user's own streams and signals.

use std::collections::VecDeque;
use std::io::{stderr, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ch01_clone::{Context, Result, Signals};
use ch05_lifecycle::pty;
use nix::errno::Errno;
use nix::libc::{self, PIPE_BUF, SIGKILL};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};

use super::monitor::Monitor;
use super::streams::CHUNK;

/// We ourselves, in the foreground: the user's own streams.
pub struct Local {
    pub(super) signals: Signals,
    pub(super) output: OwnedFd,
    pub(super) errors: OwnedFd,
    pub(super) input: Option<OwnedFd>,
    _raw: Option<pty::Raw>,
    pub(super) pending: VecDeque<(u8, Vec<u8>, usize)>,
    interrupts: u32,
    /// Whether the first signal that ends programs ends everything.
    impatient: bool,
    /// Somebody has closed what we write to.
    pub(super) unread: bool,
}

impl Local {
    /// The user's streams; with `interactive` their input is the container's.
    pub fn new(signals: Signals, interactive: bool, terminal: bool) -> Result<Self> {
        let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().call(|| "fcntl(F_DUPFD_CLOEXEC)");
        Ok(Self {
            signals,
            output: copy(stdout().as_fd())?,
            errors: copy(stderr().as_fd())?,
            input: if interactive { Some(copy(stdin().as_fd())?) } else { None },
            _raw: if interactive && terminal { Some(pty::Raw::stdin()?) } else { None },
            pending: VecDeque::new(),
            interrupts: 0,
            impatient: false,
            unread: false,
        })
    }

    /// For a program that nobody speaks to: where its output goes. A signal to us ends it.
    pub fn impatient(signals: Signals, output: OwnedFd, errors: OwnedFd) -> Self {
        Self {
            signals,
            output,
            errors,
            input: None,
            _raw: None,
            pending: VecDeque::new(),
            interrupts: 0,
            impatient: true,
            unread: false,
        }
    }
}

impl Monitor {
    pub(super) fn read_local(&mut self) -> Result<()> {
        let Some(local) = &mut self.local else { return Ok(()) };
        let Some(input) = &local.input else { return Ok(()) };
        let mut bytes = vec![0; CHUNK];
        let count = match read(input, &mut bytes) {
            Ok(count) => count,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
            Err(Errno::EIO) => 0,
            Err(errno) => return Err(errno).call(|| "read"),
        };
        if count == 0 {
            local.input = None;
            self.input_ends = true;
        }
        self.to_input.extend_from_slice(&bytes[..count]);
        self.feed()
    }

    pub(super) fn write_local(&mut self) -> Result<()> {
        let Some(local) = &mut self.local else { return Ok(()) };
        let Some((kind, bytes, written)) = local.pending.front_mut() else { return Ok(()) };
        let to = if *kind == b'1' { &local.output } else { &local.errors };
        let mut ready = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
        loop {
            // A pipe that is ready takes PIPE_BUF bytes without blocking, whoever else
            // writes to it; blocking here would stop signals and the other direction.
            match poll(&mut ready, PollTimeout::ZERO) {
                Ok(0) => return Ok(()),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).call(|| "poll"),
            }
            let end = bytes.len().min(*written + PIPE_BUF);
            match write(to, &bytes[*written..end]) {
                Ok(count) => *written += count,
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
                // Whoever read this has gone; whoever writes shall hear of it.
                Err(Errno::EPIPE | Errno::EIO) => {
                    let kind = *kind;
                    local.unread = true;
                    local.pending.clear();
                    if let Some(life) = &mut self.life {
                        match kind {
                            b'1' => life.output = None,
                            _ => life.errors = None,
                        }
                    }
                    return Ok(());
                }
                Err(errno) => return Err(errno).call(|| "write"),
            }
            if *written == bytes.len() {
                local.pending.pop_front();
                return Ok(());
            }
        }
    }

    pub(super) fn pass_on_signals(&mut self) -> Result<()> {
        let Some(local) = &mut self.local else { return Ok(()) };
        let mut signals = Vec::new();
        while let Some(signal) = local.signals.receive()? {
            signals.push(signal.number());
        }
        for signal in signals {
            let Some(local) = &mut self.local else { continue };
            local.interrupts += u32::from(signal == libc::SIGINT);
            let ends = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT].contains(&signal);
            if local.impatient && ends {
                self.stopped = Some(signal);
            }
            let enough = local.interrupts >= 3 || self.stopped.is_some();
            if signal == libc::SIGWINCH && self.record.plan.terminal {
                let (rows, columns) = pty::size();
                self.resize(rows, columns);
            } else if let Some(life) = &self.life {
                life.init.signal(signal).call(|| format!("kill({signal})"))?;
                // A process that is PID 1 and has no handler does not even notice
                // Ctrl-C. Whoever presses it three times means it.
                if enough {
                    life.init.signal(SIGKILL).call(|| "kill(SIGKILL)")?;
                }
            }
        }
        Ok(())
    }
}
