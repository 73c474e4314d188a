//! Catalogue: not needed to understand the chapter.
//!
//! Messages between a command and netd: JSON over SOCK_SEQPACKET, with the sockets that
//! it is about beside it (unix(7), SCM_RIGHTS).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ch01_clone::{Context, Error, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Service;

/// Of how many services one message is about: less than 64 KiB, and than SCM_MAX_FD.
pub(super) const CHUNK: usize = 64;

const LONGEST: usize = 64 * 1024;

/// What a command asks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Which of these do you not serve? What nobody needs any more is let go before.
    Missing(Vec<Service>),
    /// Serve these: the sockets are beside this, in the same order.
    Serve(Vec<Service>),
}

/// What netd answers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Its process.
    pub(super) pid: u32,
    /// Which are missing, counted from 0.
    pub(super) missing: Vec<usize>,
    /// What went wrong.
    pub(super) error: Option<String>,
}

/// Sends one message.
pub(super) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    fds: &[BorrowedFd<'_>],
) -> std::io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(CHUNK))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        beside.push(SendAncillaryMessage::ScmRights(fds));
    }
    sendmsg(socket, &[IoSlice::new(&bytes)], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one message. `None`: the other side has closed.
pub(super) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
) -> std::io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(CHUNK))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut bytes)];
    let got = recvmsg(socket, &mut into, &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let fds = beside.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let fds: Vec<OwnedFd> = fds.flatten().collect();
    if got.bytes == 0 {
        return Ok(None);
    }
    if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    Ok(Some((serde_json::from_slice(&bytes[..got.bytes])?, fds)))
}

/// Asks, and waits for the answer.
pub(super) fn ask(socket: &OwnedFd, ask: &Ask, fds: &[BorrowedFd<'_>]) -> Result<Answer> {
    send(socket, ask, fds).call(|| "sendmsg(netd)")?;
    let Some((answer, _)) = receive::<Answer>(socket).call(|| "recvmsg(netd)")? else {
        return Err(Error::new("netd has ended").hint("the next command starts it again"));
    };
    match answer.error {
        Some(error) => Err(Error::new(format!("netd: {error}"))),
        None => Ok(answer),
    }
}
