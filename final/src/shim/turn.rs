//! One turn of a monitor's loop: wait until something happens, and see to it.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use ch01_clone::{Context, Result};
use nix::errno::Errno;
use nix::libc::SIGKILL;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::checks::Checks;
use super::monitor::{GRACE, Monitor};
use super::wire;

/// What a place in the list of polled descriptors stands for.
#[derive(Clone, Copy)]
enum Place {
    Listener,
    Init,
    Signals,
    Output(u8),
    Input,
    Client(usize),
    LocalIn,
    LocalOut,
    Probe,
}

impl Monitor {
    /// Waits until something happens, and does what is to be done about it.
    pub(super) fn turn(&mut self, most: Option<Duration>) -> Result<()> {
        let unread = self.ended.is_none() && self.local.as_ref().is_some_and(|local| local.unread);
        // In a pipeline of a shell whoever writes what nobody reads is killed by
        // SIGPIPE. A program that is PID 1 does not even notice that.
        let limit = match (most, self.ended) {
            (Some(most), _) => Some(most),
            (None, Some(_)) => Some(Duration::from_millis(200)),
            (None, None) => unread.then_some(GRACE),
        };
        let due = self.checks.as_ref().filter(|_| self.ended.is_none()).map(Checks::due);
        let (limit, overdue) = match due {
            Some(due) if limit.is_none_or(|limit| due < limit) => (Some(due), false),
            _ => (limit, unread),
        };
        let timeout = limit.map_or(PollTimeout::NONE, |limit| match limit.is_zero() {
            true => PollTimeout::ZERO,
            // Rounded up: not to wake too early, again and again.
            false => {
                PollTimeout::try_from(limit + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            }
        });
        let places = self.places();
        let mut ready: Vec<PollFd<'_>> =
            places.iter().map(|(place, flags)| PollFd::new(self.fd(*place), *flags)).collect();
        let count = match poll(&mut ready, timeout) {
            Err(Errno::EINTR) => return Ok(()),
            done => done.call(|| "poll")?,
        };
        let happened: Vec<PollFlags> =
            ready.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty())).collect();
        drop(ready);
        if count == 0
            && overdue
            && let Some(life) = &self.life
        {
            life.init.signal(SIGKILL).call(|| "kill")?;
        }
        for ((place, _), flags) in places.into_iter().zip(happened).filter(|(_, f)| !f.is_empty()) {
            self.act(place, flags)?;
        }
        self.check_health();
        let once = self.record.plan.stdin_once;
        let left = self.clients.iter().any(|c| c.gone && c.flags & wire::INPUT != 0);
        self.clients.retain(|client| !client.gone);
        if left && once {
            self.input_ends = true;
            self.feed()?;
        }
        Ok(())
    }

    fn places(&self) -> Vec<(Place, PollFlags)> {
        let (into, out) = (PollFlags::POLLIN, PollFlags::POLLOUT);
        let mut places = vec![(Place::Listener, into)];
        let backlog = self.backlog();
        if let Some(life) = &self.life {
            if self.ended.is_none() {
                places.push((Place::Init, into));
            }
            for (kind, fd) in [(b'1', &life.output), (b'2', &life.errors)] {
                if fd.is_some() && !backlog {
                    places.push((Place::Output(kind), into));
                }
            }
            if life.input.is_some() && !self.to_input.is_empty() {
                places.push((Place::Input, out));
            }
        }
        if self.checks.as_ref().is_some_and(|checks| checks.fd().is_some()) {
            places.push((Place::Probe, into));
        }
        let takes_input = self.to_input.is_empty();
        for (number, client) in self.clients.iter().enumerate() {
            let mut flags = PollFlags::empty();
            flags.set(into, client.flags & wire::INPUT == 0 || takes_input);
            flags.set(out, !client.pending.is_empty());
            places.push((Place::Client(number), flags));
        }
        if let Some(local) = &self.local {
            places.push((Place::Signals, into));
            if local.input.is_some() && takes_input && self.ended.is_none() {
                places.push((Place::LocalIn, into));
            }
            if !local.pending.is_empty() {
                places.push((Place::LocalOut, out));
            }
        }
        places
    }

    fn fd(&self, place: Place) -> BorrowedFd<'_> {
        let life = self.life.as_ref();
        let local = self.local.as_ref();
        let found = match place {
            Place::Listener => Some(self.listener.as_fd()),
            Place::Init => life.map(|life| life.init.pidfd.as_fd()),
            Place::Output(b'1') => life.and_then(|life| life.output.as_ref()).map(AsFd::as_fd),
            Place::Output(_) => life.and_then(|life| life.errors.as_ref()).map(AsFd::as_fd),
            Place::Input => life.and_then(|life| life.input.as_ref()).map(AsFd::as_fd),
            Place::Client(number) => Some(self.clients[number].socket.as_fd()),
            Place::Probe => self.checks.as_ref().and_then(Checks::fd),
            Place::Signals => local.map(|local| local.signals.as_fd()),
            Place::LocalIn => local.and_then(|local| local.input.as_ref()).map(AsFd::as_fd),
            Place::LocalOut => local.map(|local| match local.pending.front() {
                Some((b'2', ..)) => local.errors.as_fd(),
                _ => local.output.as_fd(),
            }),
        };
        // Only what is there has a place in the list.
        found.unwrap_or_else(|| self.listener.as_fd())
    }

    fn act(&mut self, place: Place, flags: PollFlags) -> Result<()> {
        match place {
            Place::Listener => self.accept(),
            Place::Init => {
                self.ended = Some(Instant::now());
                Ok(())
            }
            Place::Signals => self.pass_on_signals(),
            Place::Output(kind) => self.carry(kind),
            Place::Input => self.feed(),
            Place::Client(number) => self.serve(number, flags),
            Place::LocalIn => self.read_local(),
            Place::LocalOut => self.write_local(),
            Place::Probe => {
                self.hear_health();
                Ok(())
            }
        }
    }
}
