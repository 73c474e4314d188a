//! Who is connected to a container's monitor, and what they may ask for.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use ch01_clone::{Context, Result};
use ch05_lifecycle::pty;
use nix::errno::Errno;
use nix::libc::SIGKILL;
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, SockFlag, accept4};

use super::monitor::Monitor;
use super::streams::nonblocking;
use super::wire;

/// Somebody who is connected.
pub struct Client {
    /// Their socket.
    pub socket: OwnedFd,
    pub(super) flags: u8,
    pub(super) waits: bool,
    pub(super) pending: VecDeque<(u8, Vec<u8>)>,
    pub(super) gone: bool,
    /// Whether it was told the last word.
    pub(super) told: bool,
}

impl Client {
    /// One who has said `A` already, with these flags.
    pub fn new(socket: OwnedFd, flags: u8) -> Self {
        nonblocking(&socket);
        Self {
            socket,
            flags,
            waits: flags != 0,
            pending: VecDeque::new(),
            gone: false,
            told: false,
        }
    }

    pub(super) fn send(&mut self, kind: u8, body: &[u8]) {
        if self.pending.is_empty() {
            match wire::say(&self.socket, kind, body, MsgFlags::MSG_DONTWAIT) {
                Ok(()) => return,
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(_) => return self.gone = true,
            }
        }
        self.pending.push_back((kind, body.to_vec()));
    }

    pub(super) fn flush(&mut self) {
        while let Some((kind, body)) = self.pending.front() {
            match wire::say(&self.socket, *kind, body, MsgFlags::MSG_DONTWAIT) {
                Ok(()) => drop(self.pending.pop_front()),
                Err(Errno::EAGAIN | Errno::EINTR) => return,
                Err(_) => return self.gone = true,
            }
        }
    }
}

impl Monitor {
    /// Tells all who wait how it ended.
    pub fn tell_end(&mut self, code: u8, error: &str) {
        let mut body = vec![code];
        body.extend_from_slice(error.as_bytes());
        for client in &mut self.clients {
            if client.waits {
                client.send(b'X', &body);
                (client.waits, client.flags) = (false, 0);
            }
        }
        self.flush_all();
    }

    /// The same, and then nobody is told anything any more: also those who are about to
    /// ask. Whoever comes later finds the record.
    pub fn tell_last(&mut self, code: u8, error: &str) {
        self.tell_end(code, error);
        let known = self.clients.len();
        self.last = Some([&[code], error.as_bytes()].concat());
        let end = Instant::now() + Duration::from_millis(100);
        // Those who have connected, and have not yet said what they want.
        let mut patience = Duration::ZERO;
        while self.turn(Some(patience)).is_ok()
            && self.clients.iter().skip(known).any(|client| !client.told)
            && Instant::now() < end
        {
            patience = Duration::from_millis(10);
        }
        self.flush_all();
    }

    fn flush_all(&mut self) {
        let end = Instant::now() + Duration::from_secs(2);
        while self.clients.iter().any(|c| !c.pending.is_empty() && !c.gone) && Instant::now() < end
        {
            if self.turn(Some(Duration::from_millis(100))).is_err() {
                return;
            }
        }
    }

    pub(super) fn accept(&mut self) -> Result<()> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        loop {
            match accept4(self.listener.as_raw_fd(), flags) {
                Ok(fd) => {
                    let socket = crate::sys::inherited(fd).call(|| "accept4")?;
                    self.clients.push(Client::new(socket, 0));
                }
                // Too many: they wait.
                Err(Errno::EMFILE | Errno::ENFILE) => {
                    std::thread::sleep(Duration::from_millis(10));
                    return Ok(());
                }
                // Nobody is left.
                Err(_) => return Ok(()),
            }
        }
    }

    pub(super) fn serve(&mut self, number: usize, flags: PollFlags) -> Result<()> {
        if flags.contains(PollFlags::POLLOUT) {
            self.clients[number].flush();
        }
        if !flags.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
            return Ok(());
        }
        let mut body = std::mem::take(&mut self.buffer);
        let heard = wire::hear(&self.clients[number].socket, &mut body, MsgFlags::MSG_DONTWAIT);
        match heard {
            Ok(Some(kind)) => self.answer(number, kind, &body)?,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Ok(None) | Err(_) => self.clients[number].gone = true,
        }
        self.buffer = body;
        Ok(())
    }

    pub(super) fn answer(&mut self, number: usize, kind: u8, body: &[u8]) -> Result<()> {
        if let Some(last) = &self.last {
            let client = &mut self.clients[number];
            client.send(b'X', last);
            client.told = true;
            return Ok(());
        }
        let integer =
            |at: usize| body.get(at..at + 4).map(|b| i32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
        match kind {
            b'A' => {
                let client = &mut self.clients[number];
                (client.flags, client.waits) = (body.first().copied().unwrap_or(0), true);
                client.send(b'k', b"");
            }
            b'W' => self.clients[number].waits = true,
            b'I' => {
                self.to_input.extend_from_slice(body);
                self.feed()?;
            }
            b'E' if self.record.plan.stdin_once => {
                self.input_ends = true;
                self.feed()?;
            }
            b'R' => {
                if let (Some(rows), Some(columns)) = (integer(0), integer(4)) {
                    self.resize(rows as u16, columns as u16);
                }
            }
            b'K' | b'S' => {
                let signal = integer(0).unwrap_or(0);
                let ends =
                    kind == b'S' || signal == SIGKILL || signal == self.record.plan.stop_signal;
                self.signal(signal, ends)?;
                self.clients[number].send(b'k', b"");
            }
            b'U' => {
                if let Ok(change) = serde_json::from_slice::<wire::Change>(body) {
                    self.change(change);
                }
                self.clients[number].send(b'k', b"");
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn resize(&self, rows: u16, columns: u16) {
        let life = self.life.as_ref().filter(|life| life.terminal);
        if let Some(terminal) = life.and_then(|life| life.input.as_ref()) {
            // If it is gone, so is the window.
            let _ = pty::resize(terminal.as_fd(), rows, columns);
        }
    }

    pub(super) fn signal(&mut self, signal: i32, on_purpose: bool) -> Result<()> {
        if on_purpose && !self.record.stopped_by_user {
            self.record.stopped_by_user = true;
            self.save();
        }
        match (&self.life, self.ended) {
            (Some(life), None) => life.init.signal(signal).call(|| format!("kill({signal})")),
            _ => Ok(()),
        }
    }

    pub(super) fn change(&mut self, change: wire::Change) {
        let wire::Change { name, paused, restart, wire } = change;
        if let Some(name) = name {
            self.record.name = name;
        }
        if let Some(paused) = paused {
            self.record.paused = paused;
        }
        if let Some(restart) = restart {
            self.record.plan.restart = restart;
        }
        if let Some(wire) = wire {
            self.record.plan.wire = wire;
        }
        self.save();
    }

    pub(super) fn save(&mut self) {
        // On a full disk the old record stays; what is in memory counts.
        let _ = self.record.save(&self.dir);
    }
}
