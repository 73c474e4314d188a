//! Catalogue: not needed to understand the chapter.
//!
//! A message of the gate as bytes.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, RecvMsg};

use crate::error::{Context, Error, Result};
use crate::gate::Message;
use crate::steps::Step;

/// A packet is never longer; what does not fit is cut by whoever sends it.
pub(crate) const PACKET: usize = 8192;

/// A tag, then fields that each end in a zero byte.
pub(crate) fn encode(message: &Message) -> Vec<u8> {
    let number;
    let (tag, fields) = match message {
        Message::Go => (b'g', vec![]),
        Message::Exec => (b'x', vec![]),
        Message::Ready(_) => (b'r', vec![]),
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

/// The descriptor that goes with a message, if one does.
pub(crate) fn given(message: &Message) -> Option<&OwnedFd> {
    match message {
        Message::Terminal(fd) | Message::Child(_, fd) => Some(fd),
        // A supervisor hears by it of system calls.
        Message::Ready(fd) => fd.as_ref(),
        _ => None,
    }
}

pub(crate) fn decode(bytes: &[u8], fd: Option<OwnedFd>) -> Option<Message> {
    let (&tag, rest) = bytes.split_first()?;
    let mut fields = rest.split(|&b| b == 0).map(|f| String::from_utf8_lossy(f).into_owned());
    let mut next = || fields.next();
    Some(match tag {
        b'g' => Message::Go,
        b'x' => Message::Exec,
        b'r' => Message::Ready(fd),
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

/// The descriptor that came with a packet, if one did.
pub(crate) fn descriptor(packet: &RecvMsg<'_, '_, ()>) -> Result<Option<OwnedFd>> {
    for message in packet.cmsgs().call(|| "recvmsg(gate)")? {
        if let ControlMessageOwned::ScmRights(fds) = message {
            return Ok(fds.first().map(|&fd| crate::sys::own(fd)));
        }
    }
    Ok(None)
}
