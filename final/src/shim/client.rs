//! A user who is attached to a container: their terminal or pipes, over the shim's socket.

use std::io::{Write, stderr, stdin, stdout};
use std::os::fd::AsFd;

use ch01_clone::{Context, Error, Result, Signals};
use ch05_lifecycle::pty;
use nix::errno::Errno;
use nix::libc::{SIGCHLD, SIGINT, SIGKILL, SIGWINCH};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::MsgFlags;
use nix::unistd::read;

use super::wire::{Line, say};

/// How to be attached.
#[derive(Debug, Clone)]
pub struct Attach {
    /// Our input is the container's.
    pub input: bool,
    /// It has a terminal.
    pub terminal: bool,
    /// The keys that part us from it.
    pub keys: Vec<u8>,
    /// Whether it gets our signals.
    pub proxy: bool,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parted {
    /// The container ended, with this status; and what went wrong then.
    Ended(u8, String),
    /// The user has left it.
    Detached,
    /// Its shim is gone.
    Lost,
}

/// Docker's spelling of keys: `ctrl-p,ctrl-q`, or a letter.
pub fn keys(text: &str) -> Result<Vec<u8>> {
    let key = |word: &str| match word.as_bytes() {
        [byte] => Some(*byte),
        _ => match word.strip_prefix("ctrl-")?.as_bytes() {
            [byte @ b'a'..=b'z'] => Some(byte - b'a' + 1),
            [b'@'] => Some(0),
            [byte @ b'['..=b'_'] => Some(byte - b'@'),
            _ => None,
        },
    };
    let all = text.split(',').map(key).collect::<Option<Vec<u8>>>();
    all.filter(|all| !all.is_empty())
        .ok_or_else(|| Error::new(format!("invalid detach keys ({text}) provided")))
}

/// Docker's own keys.
pub fn default_keys() -> Vec<u8> {
    vec![b'p' - b'a' + 1, b'q' - b'a' + 1]
}

impl Attach {
    /// The user's terminal for it, until this is dropped. Before it starts: a key that is
    /// typed early is the container's, too.
    pub fn raw(&self) -> Result<Option<pty::Raw>> {
        (self.terminal && self.input).then(pty::Raw::stdin).transpose()
    }
}

/// Stays attached until the container ends, the user leaves or the shim is gone.
/// `control` is a second line: signals shall not wait behind the input.
pub fn attach(data: &Line, control: &Line, how: &Attach, mut signals: Signals) -> Result<Parted> {
    if how.terminal {
        say_size(control)?;
    }
    let (mut buffer, mut input, mut interrupts) = (Vec::new(), how.input, 0);
    let mut left = None;
    let mut keys = Keys { wanted: &how.keys, seen: 0, on: how.terminal };
    // What waits for the shim to take it: blocking here would stop the output, too.
    let mut pending: Vec<(u8, Vec<u8>)> = Vec::new();
    let parted = loop {
        while let Some((kind, body)) = pending.first() {
            match say(&data.0, *kind, body, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                // The next answer tells.
                _ => drop(pending.remove(0)),
            }
        }
        let (stdin, into) = (stdin(), PollFlags::POLLIN);
        let mut ready = vec![
            PollFd::new(
                data.0.as_fd(),
                if pending.is_empty() { into } else { into | PollFlags::POLLOUT },
            ),
            PollFd::new(signals.as_fd(), into),
            PollFd::new(control.0.as_fd(), into),
        ];
        if input && pending.is_empty() {
            ready.push(PollFd::new(stdin.as_fd(), into));
        }
        match poll(&mut ready, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            done => done.call(|| "poll")?,
        };
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
        let [now_data, now_signals, now_control] =
            [0, 1, 2].map(|i| ready[i].revents().is_some_and(|f| f.intersects(into | gone)));
        let now_input = ready.get(3).is_some_and(|fd| fd.any() == Some(true));
        drop(ready);
        if now_control {
            control.hear(&mut buffer)?;
        }
        if now_signals {
            while let Some(signal) = signals.receive()? {
                let signal = signal.number();
                if !how.proxy && signal != SIGWINCH {
                    left = Some(128 + signal as u8);
                }
                forward(control, how, signal, &mut interrupts)?;
            }
        }
        if let Some(status) = left {
            break Parted::Ended(status, String::new());
        }
        if now_data {
            match data.hear(&mut buffer)? {
                Some(b'X') => {
                    let text = String::from_utf8_lossy(buffer.get(1..).unwrap_or_default());
                    break Parted::Ended(buffer.first().copied().unwrap_or(0), text.into_owned());
                }
                Some(kind @ (b'1' | b'2')) => {
                    if !print(kind, &buffer)? {
                        break Parted::Detached;
                    }
                }
                Some(_) => {}
                None => break Parted::Lost,
            }
        }
        if now_input {
            let mut bytes = vec![0; super::wire::MOST];
            let count = match read(stdin, &mut bytes) {
                Ok(count) => count,
                Err(Errno::EAGAIN | Errno::EINTR) => continue,
                Err(_) => 0,
            };
            if count == 0 {
                input = false;
                pending.push((b'E', Vec::new()));
                continue;
            }
            let (bytes, leave) = keys.filter(&bytes[..count]);
            if !bytes.is_empty() {
                pending.push((b'I', bytes));
            }
            if leave {
                break Parted::Detached;
            }
        }
    };
    Ok(parted)
}

/// Prints what the container has said; `false` when nobody reads that any more.
fn print(kind: u8, bytes: &[u8]) -> Result<bool> {
    let written = match kind {
        b'1' => {
            let mut out = stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        }
        _ => stderr().lock().write_all(bytes),
    };
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => Ok(false),
        done => done.call(|| "write").map(|()| true),
    }
}

fn say_size(control: &Line) -> Result<()> {
    let (rows, columns) = pty::size();
    let body = [i32::from(rows).to_ne_bytes(), i32::from(columns).to_ne_bytes()].concat();
    control.say(b'R', &body)
}

fn forward(control: &Line, how: &Attach, signal: i32, interrupts: &mut u32) -> Result<()> {
    match signal {
        SIGWINCH if how.terminal => say_size(control),
        SIGWINCH | SIGCHLD => Ok(()),
        // It ends us, as it would without a handler.
        _ if !how.proxy => Ok(()),
        _ => {
            control.say(b'K', &signal.to_ne_bytes())?;
            *interrupts += u32::from(signal == SIGINT);
            match *interrupts >= 3 {
                true => control.say(b'K', &SIGKILL.to_ne_bytes()),
                false => Ok(()),
            }
        }
    }
}

/// Looks for the keys that part us from the container.
struct Keys<'a> {
    wanted: &'a [u8],
    seen: usize,
    on: bool,
}

impl Keys<'_> {
    /// What of these bytes is input, and whether the user leaves. The beginning of the
    /// keys is held back until it is known what it is.
    fn filter(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut input = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if !self.on || self.wanted.is_empty() {
                input.push(byte);
                continue;
            }
            if byte != self.wanted[self.seen] {
                input.extend_from_slice(&self.wanted[..std::mem::take(&mut self.seen)]);
            }
            if byte == self.wanted[self.seen] {
                self.seen += 1;
                if self.seen == self.wanted.len() {
                    return (input, true);
                }
            } else {
                input.push(byte);
            }
        }
        (input, false)
    }
}
