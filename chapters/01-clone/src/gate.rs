//! The gate: one socket between a parent and its child, from clone to execve.
//!
//! ```text
//!   parent                                 child
//!   clone3 ──────────────────────────────► waits at the gate
//!   id maps, cgroup, network
//!   Go ──────────────────────────────────► takes its steps
//!              ◄──────────── Step ───────  (only if somebody watches,
//!   Go ──────────────────────────────────►  and then it waits for each Go)
//!              ◄──────────── Terminal ───  (a pty's master, if it has one)
//!              ◄──────────── Failed ─────  one step did not work: exit
//!              ◄──────────── Exec ───────  all done, execve is next
//!              ◄──────────── end of file   execve closed the socket: success
//! ```
//!
//! End of file after `Exec` is success. End of file without it is a death.
//! The child reads end of file when its parent is gone, and exits too.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};

use crate::error::{Context, Error, Result};
use crate::steps::Step;

/// What is said over a gate.
#[derive(Debug)]
pub enum Message {
    /// To the child: go on.
    Go,
    /// From the child: the step it is about to take.
    Step(Step),
    /// From the child: the master side of its terminal.
    Terminal(OwnedFd),
    /// From a helper: the child that it made in its parent's name.
    Child(i32, OwnedFd),
    /// A step failed, or (to the child) shall fail.
    Failed(Error),
    /// From the child: nothing is left but execve.
    Exec,
}

/// One end of the socket. Each message is one packet, whole or not at all.
#[derive(Debug)]
pub struct Gate(OwnedFd);

/// A packet is never longer; what does not fit is cut by whoever sends it.
const PACKET: usize = 8192;

impl Gate {
    /// A new gate: the parent's end and the child's. Both close at an execve.
    pub fn pair() -> Result<(Gate, Gate)> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (parent, child) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
            .call(|| "socketpair(AF_UNIX, SOCK_SEQPACKET)")?;
        Ok((Gate(parent), Gate(child)))
    }

    /// The same end once more.
    pub fn try_clone(&self) -> Result<Gate> {
        self.0.try_clone().map(Gate).call(|| "fcntl(F_DUPFD_CLOEXEC)")
    }

    /// In the child: waits until the parent has done what only it can do.
    pub fn wait(&self) -> Result<()> {
        match self.receive()? {
            Some(Message::Go) => Ok(()),
            Some(Message::Failed(error)) => Err(error),
            _ => Err(Error::new("the parent died at the gate")),
        }
    }

    /// Sends one message.
    pub fn send(&self, message: &Message) -> Result<()> {
        let bytes = encode(message);
        let data = [IoSlice::new(&bytes)];
        let fds: Vec<_> = match message {
            Message::Terminal(fd) | Message::Child(_, fd) => vec![fd.as_raw_fd()],
            _ => Vec::new(),
        };
        let rights = [ControlMessage::ScmRights(&fds)];
        let control = if fds.is_empty() { &[][..] } else { &rights[..] };
        // Without MSG_NOSIGNAL a dead peer would be a SIGPIPE rather than an EPIPE.
        sendmsg::<()>(self.0.as_raw_fd(), &data, control, MsgFlags::MSG_NOSIGNAL, None)
            .call(|| "sendmsg(gate)")?;
        Ok(())
    }

    /// Waits for one message; `None` when the other end is closed.
    pub fn receive(&self) -> Result<Option<Message>> {
        let mut bytes = [0; PACKET];
        let mut control = nix::cmsg_space!(OwnedFd);
        let (length, fd) = loop {
            let mut data = [IoSliceMut::new(&mut bytes)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<()>(self.0.as_raw_fd(), &mut data, Some(&mut control), flags) {
                Ok(packet) => break (packet.bytes, received_fd(&packet)?),
                Err(Errno::EINTR) => continue,
                // The peer died with packets of ours unread: it is gone all the same.
                Err(Errno::ECONNRESET) => return Ok(None),
                Err(errno) => return Err(Error::os("recvmsg(gate)", errno)),
            }
        };
        if length == 0 {
            return Ok(None);
        }
        decode(&bytes[..length], fd)
            .map(Some)
            .ok_or_else(|| Error::new("garbled message at the gate"))
    }
}

fn received_fd(packet: &nix::sys::socket::RecvMsg<'_, '_, ()>) -> Result<Option<OwnedFd>> {
    for message in packet.cmsgs().call(|| "recvmsg(gate)")? {
        if let ControlMessageOwned::ScmRights(fds) = message {
            return Ok(fds.first().map(|&fd| crate::sys::own(fd)));
        }
    }
    Ok(None)
}

/// A tag, then fields that each end in a zero byte.
fn encode(message: &Message) -> Vec<u8> {
    let number;
    let (tag, fields) = match message {
        Message::Go => (b'g', vec![]),
        Message::Exec => (b'x', vec![]),
        Message::Terminal(_) => (b't', vec![]),
        Message::Child(pid, _) => {
            number = pid.to_string();
            (b'c', vec![&*number])
        }
        Message::Step(s) => (b's', vec![&*s.package, &s.name, &s.why, &s.look, &s.call]),
        Message::Failed(e) => {
            number = e.errno.map_or(0, |errno| errno as i32).to_string();
            (b'f', vec![&*number, &e.step, &e.call, e.hint.as_deref().unwrap_or("")])
        }
    };
    let room = PACKET / 6;
    let mut bytes = vec![tag];
    for field in fields {
        bytes.extend(field.bytes().filter(|&b| b != 0).take(room));
        bytes.push(0);
    }
    bytes
}

fn decode(bytes: &[u8], fd: Option<OwnedFd>) -> Option<Message> {
    let (&tag, rest) = bytes.split_first()?;
    let mut fields = rest.split(|&b| b == 0).map(|f| String::from_utf8_lossy(f).into_owned());
    let mut next = || fields.next();
    Some(match tag {
        b'g' => Message::Go,
        b'x' => Message::Exec,
        b't' => Message::Terminal(fd?),
        b'c' => Message::Child(next()?.parse().ok()?, fd?),
        b's' => Message::Step(Step {
            package: next()?,
            name: next()?,
            why: next()?,
            look: next()?,
            call: next()?,
        }),
        b'f' => {
            let errno: i32 = next()?.parse().ok()?;
            Message::Failed(Error {
                errno: (errno != 0).then(|| Errno::from_raw(errno)),
                step: next()?,
                call: next()?,
                hint: Some(next()?).filter(|hint| !hint.is_empty()),
            })
        }
        _ => return None,
    })
}
