//! What goes through a monitor: the container's output to the log and to all who are
//! attached, their input to it.

use std::os::fd::OwnedFd;
use std::time::Instant;

use ch01_clone::Result;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{read, write};

use super::monitor::Monitor;
use super::wire;

/// So much is read at once at most, from the container as from a user.
pub(super) const CHUNK: usize = 32 << 10;

impl Monitor {
    /// From the container to the log and to all who are attached.
    pub(super) fn carry(&mut self, kind: u8) -> Result<()> {
        let Some(life) = &mut self.life else { return Ok(()) };
        let stream = if kind == b'1' { &mut life.output } else { &mut life.errors };
        let Some(from) = stream else { return Ok(()) };
        self.buffer.resize(self.chunk, 0);
        let count = match read(from, &mut self.buffer) {
            Ok(count) => count,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
            // Nobody has the slave side open any more: a terminal's end of file.
            Err(_) => 0,
        };
        if count == 0 {
            *stream = None;
        }
        // Who says little needs little memory to be heard.
        if count == self.chunk {
            self.chunk = (2 * self.chunk).min(CHUNK);
        }
        self.closed_at = Some(Instant::now());
        let bytes = &self.buffer[..count];
        if count > 0 {
            self.log.write(if kind == b'1' { "stdout" } else { "stderr" }, bytes);
            for client in self.clients.iter_mut().filter(|c| c.flags & wire::OUTPUT != 0) {
                client.send(kind, bytes);
            }
            if let Some(local) = &mut self.local {
                local.pending.push_back((kind, bytes.to_vec(), 0));
                self.write_local()?;
            }
        }
        Ok(())
    }

    /// What was given as input, as far as the container takes it.
    pub(super) fn feed(&mut self) -> Result<()> {
        let terminal = self.record.plan.terminal;
        let Some(life) = &mut self.life else {
            self.to_input.clear();
            return Ok(());
        };
        let Some(input) = &life.input else {
            self.to_input.clear();
            return Ok(());
        };
        while !self.to_input.is_empty() {
            match write(input, &self.to_input) {
                Ok(count) => drop(self.to_input.drain(..count)),
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                // Nobody reads it any more.
                Err(_) => {
                    self.to_input.clear();
                    self.input_ends = true;
                }
            }
        }
        if self.input_ends && !terminal {
            life.input = None;
        }
        Ok(())
    }
}

/// Writing must not block. One that cannot be made so blocks at worst.
pub(super) fn nonblocking(fd: &OwnedFd) {
    if let Ok(flags) = fcntl(fd, FcntlArg::F_GETFL) {
        let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
        let _ = fcntl(fd, FcntlArg::F_SETFL(flags));
    }
}
