//! The gate: one socket between a parent and its child, from clone to execve.
//!
//! ```text
//!   parent                                 child
//!   clone3 ──────────────────────────────► waits at the gate
//!   id maps, cgroup, network
//!   Go ──────────────────────────────────► takes its steps
//!              ◄──────────── Step ───────  (only if somebody watches,
//!   Go ──────────────────────────────────►  and then it waits for each Go)
//!              ◄──────────── Ready ──────  (its root is built, and hooks are to run)
//!   Go ──────────────────────────────────►
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
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, socketpair,
};

use crate::error::{Context, Error, Result};
use crate::steps::Step;
use crate::wire;

/// What is said over a gate.
#[derive(Debug)]
pub enum Message {
    /// To the child: go on.
    Go,
    /// From the child, if somebody watches: the step it is about to take.
    Step(Step),
    /// From the child, from chapter 5 on: it waits once more, for hooks or for its supervisor.
    Ready(Option<OwnedFd>),
    /// From the child, from chapter 5 on: the master side of its terminal.
    Terminal(OwnedFd),
    /// From the helper in `join`: the child that it made in its parent's name.
    Child(i32, OwnedFd),
    /// A step failed, or (to the child) shall fail.
    Failed(Error),
    /// From the child: nothing is left but execve.
    Exec,
}

/// One end of the socket. Each message is one packet, whole or not at all.
#[derive(Debug)]
pub struct Gate(pub OwnedFd);

impl Gate {
    /// A new gate: the parent's end and the child's. Both close at an execve.
    pub fn pair() -> Result<(Gate, Gate)> {
        // ANCHOR: pair
        let flags = SockFlag::SOCK_CLOEXEC;
        let (parent, child) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
            .call(|| "socketpair(AF_UNIX, SOCK_SEQPACKET)")?;
        Ok((Gate(parent), Gate(child)))
        // ANCHOR_END: pair
    }

    /// The same end once more.
    pub fn try_clone(&self) -> Result<Gate> {
        self.0.try_clone().map(Gate).call(|| "fcntl(F_DUPFD_CLOEXEC)")
    }

    /// In the child: waits until the parent has done what only it can do.
    pub fn wait(&self) -> Result<()> {
        // HOLE: 01.1
        match self.receive()? {
            Some(Message::Go) => Ok(()),
            Some(Message::Failed(error)) => Err(error),
            _ => Err(Error::new("the parent died at the gate")),
        }
        // HOLE_END: 01.1
    }

    /// Sends one message.
    pub fn send(&self, message: &Message) -> Result<()> {
        let bytes = wire::encode(message);
        let data = [IoSlice::new(&bytes)];
        let fds: Vec<_> = wire::given(message).map(AsRawFd::as_raw_fd).into_iter().collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let control = if fds.is_empty() { &[][..] } else { &rights[..] };
        // Without MSG_NOSIGNAL a dead peer would be a SIGPIPE rather than an EPIPE.
        sendmsg::<()>(self.0.as_raw_fd(), &data, control, MsgFlags::MSG_NOSIGNAL, None)
            .call(|| "sendmsg(gate)")?;
        Ok(())
    }

    /// Waits for one message; `None` when the other end is closed.
    pub fn receive(&self) -> Result<Option<Message>> {
        let mut bytes = [0; wire::PACKET];
        let mut control = nix::cmsg_space!(OwnedFd);
        let (length, fd) = loop {
            let mut data = [IoSliceMut::new(&mut bytes)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<()>(self.0.as_raw_fd(), &mut data, Some(&mut control), flags) {
                Ok(packet) => break (packet.bytes, wire::descriptor(&packet)?),
                // ECONNRESET comes once, if the peer died with packets of ours unread.
                // What it said before, and the end of file, are still to be read.
                Err(Errno::EINTR | Errno::ECONNRESET) => continue,
                Err(errno) => return Err(Error::os("recvmsg(gate)", errno)),
            }
        };
        if length == 0 {
            return Ok(None);
        }
        wire::decode(&bytes[..length], fd)
            .map(Some)
            .ok_or_else(|| Error::new("garbled message at the gate"))
    }
}
