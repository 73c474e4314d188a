//! The loop of whoever is responsible for a container that runs: its output to the log
//! and to whoever is attached, their input to it, and what they ask for.
//!
//! One thread and poll(2). Output is read only when all who are attached have taken
//! what was read before: a slow reader slows the container, and nothing is lost. One
//! who is gone is forgotten at once.

use std::collections::VecDeque;
use std::io::{stderr, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use ch01_clone::{Child, Context, Error, ExitStatus, Result, Signals};
use ch05_lifecycle::launch::{Started, Streams};
use ch05_lifecycle::pty;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::{self, PIPE_BUF, SIGKILL};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, SockFlag, accept4};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, read, write};

use super::log::Log;
use super::wire;
use crate::engine::record::Record;

/// So much is read at once at most, from the container as from a user.
const CHUNK: usize = 32 << 10;

/// Once its first process has ended: how long somebody else may keep its output open.
const GRACE: Duration = Duration::from_secs(1);

/// The first process of a container, whose parent we are: nobody else gets its pid
/// before we have waited for it.
#[derive(Debug)]
pub struct Init {
    /// Its pid.
    pub pid: Pid,
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
}

impl Init {
    /// The same process, which is not killed any more when this value goes.
    pub fn keep(child: Child) -> Result<Self> {
        let pid = child.pid();
        let pidfd = child.pidfd().try_clone_to_owned().call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
        child.leave();
        Ok(Self { pid, pidfd })
    }

    fn signal(&self, number: i32) -> nix::Result<()> {
        // By number: the real-time ones have no names.
        match crate::sys::signal(self.pid, number) {
            Err(Errno::ESRCH) => Ok(()),
            done => done,
        }
    }

    fn reap(&self) -> Result<ExitStatus> {
        loop {
            match waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED) {
                Ok(WaitStatus::Exited(_, code)) => return Ok(ExitStatus::Exited(code)),
                Ok(WaitStatus::Signaled(_, signal, _)) => {
                    return Ok(ExitStatus::Signaled(signal as i32));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).call(|| "waitid(P_PIDFD)"),
            }
        }
    }
}

/// A program that runs, and our ends of its streams.
#[derive(Debug)]
pub struct Life {
    /// Its first process.
    pub init: Init,
    /// Its standard input: a pipe, or its terminal.
    pub input: Option<OwnedFd>,
    /// Its output: a pipe, or its terminal.
    pub output: Option<OwnedFd>,
    /// Its errors: a pipe; a terminal has only output.
    pub errors: Option<OwnedFd>,
    /// Whether these are a terminal.
    pub terminal: bool,
}

impl Life {
    /// Of what chapter 5 has started.
    pub fn of(started: Started) -> Result<Self> {
        let Started { child, streams } = started;
        let life =
            |init, input, output, errors, terminal| Self { init, input, output, errors, terminal };
        match streams {
            Streams::Terminal(master) => {
                let input = master.try_clone().call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
                Ok(life(Init::keep(child)?, Some(input), Some(master), None, true))
            }
            Streams::Pipes { stdin, stdout, stderr } => {
                Ok(life(Init::keep(child)?, stdin, Some(stdout), Some(stderr), false))
            }
            Streams::Inherited => Ok(life(Init::keep(child)?, None, None, None, false)),
        }
    }
}

/// Somebody who is connected.
pub struct Client {
    /// Their socket.
    pub socket: OwnedFd,
    flags: u8,
    waits: bool,
    pending: VecDeque<(u8, Vec<u8>)>,
    gone: bool,
    /// Whether it was told the last word.
    told: bool,
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

    fn send(&mut self, kind: u8, body: &[u8]) {
        if self.pending.is_empty() {
            match wire::say(&self.socket, kind, body, MsgFlags::MSG_DONTWAIT) {
                Ok(()) => return,
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(_) => return self.gone = true,
            }
        }
        self.pending.push_back((kind, body.to_vec()));
    }

    fn flush(&mut self) {
        while let Some((kind, body)) = self.pending.front() {
            match wire::say(&self.socket, *kind, body, MsgFlags::MSG_DONTWAIT) {
                Ok(()) => drop(self.pending.pop_front()),
                Err(Errno::EAGAIN | Errno::EINTR) => return,
                Err(_) => return self.gone = true,
            }
        }
    }
}

/// We ourselves, in the foreground: the user's own streams.
pub struct Local {
    signals: Signals,
    output: OwnedFd,
    errors: OwnedFd,
    input: Option<OwnedFd>,
    _raw: Option<pty::Raw>,
    pending: VecDeque<(u8, Vec<u8>, usize)>,
    interrupts: u32,
    /// Somebody has closed what we write to.
    unread: bool,
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
            unread: false,
        })
    }
}

/// Who sees to a container.
pub struct Monitor {
    /// Its record; whoever changes it saves it.
    pub record: Record,
    dir: std::path::PathBuf,
    /// Where users connect.
    pub listener: OwnedFd,
    /// Who is connected.
    pub clients: Vec<Client>,
    local: Option<Local>,
    log: Log,
    life: Option<Life>,
    ended: Option<Instant>,
    to_input: Vec<u8>,
    input_ends: bool,
    buffer: Vec<u8>,
    /// How it ended, once that is all that is left to say.
    last: Option<Vec<u8>>,
    /// How much is read at once just now.
    chunk: usize,
    closed_at: Option<Instant>,
}

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
}

impl Monitor {
    /// Of a container with this record, in this directory.
    pub fn new(record: Record, dir: &std::path::Path, listener: OwnedFd) -> Self {
        let log = Log::open(dir, record.plan.log);
        Self {
            record,
            dir: dir.to_owned(),
            listener,
            clients: Vec::new(),
            local: None,
            log,
            life: None,
            ended: None,
            to_input: Vec::new(),
            input_ends: false,
            buffer: Vec::new(),
            last: None,
            chunk: 2048,
            closed_at: None,
        }
    }

    /// We are attached ourselves.
    pub fn attach(&mut self, local: Local) {
        self.local = Some(local);
    }

    /// Carries everything until the program has ended and all that it has said is with
    /// those who want it.
    pub fn live(&mut self, life: Life) -> Result<ExitStatus> {
        if let Some(input) = &life.input {
            nonblocking(input);
        }
        (self.life, self.ended, self.closed_at) = (Some(life), None, None);
        self.input_ends = false;
        while !self.over() {
            self.turn(None)?;
        }
        let life = self.life.take().ok_or_else(|| Error::new("it does not live"))?;
        self.local = None;
        if let Some(lost) = self.log.lost() {
            self.record.error = lost;
        }
        life.init.reap()
    }

    /// Serves users until then, while nothing runs; whether it came to that (and not to a
    /// `stop` before).
    pub fn wait_until(&mut self, then: Instant) -> Result<bool> {
        while Instant::now() < then {
            if self.record.stopped_by_user {
                return Ok(false);
            }
            self.turn(Some(then.saturating_duration_since(Instant::now())))?;
        }
        Ok(!self.record.stopped_by_user)
    }

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

    fn over(&self) -> bool {
        let Some(life) = &self.life else { return true };
        let Some(ended) = self.ended else { return false };
        let drained = life.output.is_none() && life.errors.is_none();
        let nobody_speaks =
            ended.elapsed() > GRACE && self.closed_at.is_none_or(|at| at.elapsed() > GRACE);
        (drained || nobody_speaks)
            && !self.backlog()
            && self.local.as_ref().is_none_or(|l| l.pending.is_empty())
    }

    /// Whether somebody attached has not yet taken what was said before.
    fn backlog(&self) -> bool {
        self.clients
            .iter()
            .any(|client| client.flags & wire::OUTPUT != 0 && !client.pending.is_empty())
            || self.local.as_ref().is_some_and(|local| !local.pending.is_empty())
    }

    /// Waits until something happens, and does what is to be done about it.
    fn turn(&mut self, most: Option<Duration>) -> Result<()> {
        let unread = self.ended.is_none() && self.local.as_ref().is_some_and(|local| local.unread);
        // In a pipeline of a shell whoever writes what nobody reads is killed by
        // SIGPIPE. A program that is PID 1 does not even notice that.
        let limit = match (most, self.ended) {
            (Some(most), _) => Some(most),
            (None, Some(_)) => Some(Duration::from_millis(200)),
            (None, None) => unread.then_some(GRACE),
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
            && unread
            && let Some(life) = &self.life
        {
            life.init.signal(SIGKILL).call(|| "kill")?;
        }
        for ((place, _), flags) in places.into_iter().zip(happened).filter(|(_, f)| !f.is_empty()) {
            self.act(place, flags)?;
        }
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
        }
    }

    fn accept(&mut self) -> Result<()> {
        use std::os::fd::AsRawFd;
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

    /// From the container to the log and to all who are attached.
    fn carry(&mut self, kind: u8) -> Result<()> {
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
    fn feed(&mut self) -> Result<()> {
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

    fn serve(&mut self, number: usize, flags: PollFlags) -> Result<()> {
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

    fn answer(&mut self, number: usize, kind: u8, body: &[u8]) -> Result<()> {
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

    fn resize(&self, rows: u16, columns: u16) {
        let life = self.life.as_ref().filter(|life| life.terminal);
        if let Some(terminal) = life.and_then(|life| life.input.as_ref()) {
            // If it is gone, so is the window.
            let _ = pty::resize(terminal.as_fd(), rows, columns);
        }
    }

    fn signal(&mut self, signal: i32, on_purpose: bool) -> Result<()> {
        if on_purpose && !self.record.stopped_by_user {
            self.record.stopped_by_user = true;
            self.save();
        }
        match (&self.life, self.ended) {
            (Some(life), None) => life.init.signal(signal).call(|| format!("kill({signal})")),
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: wire::Change) {
        let wire::Change { name, paused, restart } = change;
        if let Some(name) = name {
            self.record.name = name;
        }
        if let Some(paused) = paused {
            self.record.paused = paused;
        }
        if let Some(restart) = restart {
            self.record.plan.restart = restart;
        }
        self.save();
    }

    fn save(&mut self) {
        // On a full disk the old record stays; what is in memory counts.
        let _ = self.record.save(&self.dir);
    }

    fn read_local(&mut self) -> Result<()> {
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

    fn write_local(&mut self) -> Result<()> {
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

    fn pass_on_signals(&mut self) -> Result<()> {
        let Some(local) = &mut self.local else { return Ok(()) };
        let mut signals = Vec::new();
        while let Some(signal) = local.signals.receive()? {
            signals.push(signal.number());
        }
        for signal in signals {
            let interrupts = match &mut self.local {
                Some(local) => {
                    local.interrupts += u32::from(signal == libc::SIGINT);
                    local.interrupts
                }
                None => 0,
            };
            if signal == libc::SIGWINCH && self.record.plan.terminal {
                let (rows, columns) = pty::size();
                self.resize(rows, columns);
            } else if let Some(life) = &self.life {
                life.init.signal(signal).call(|| format!("kill({signal})"))?;
                // A process that is PID 1 and has no handler does not even notice
                // Ctrl-C. Whoever presses it three times means it.
                if interrupts >= 3 {
                    life.init.signal(SIGKILL).call(|| "kill(SIGKILL)")?;
                }
            }
        }
        Ok(())
    }
}

/// Writing must not block. One that cannot be made so blocks at worst.
fn nonblocking(fd: &OwnedFd) {
    if let Ok(flags) = fcntl(fd, FcntlArg::F_GETFL) {
        let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
        let _ = fcntl(fd, FcntlArg::F_SETFL(flags));
    }
}
