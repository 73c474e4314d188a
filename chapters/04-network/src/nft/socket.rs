//! Catalogue: not needed to understand the chapter.
//!
//! The way of a batch to the kernel, and of its answer back (netlink(7)).

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;

use netlink_packet_core::{
    NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::{SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};

use super::batch::Batch;

/// What can go wrong.
#[derive(Debug)]
pub enum Error {
    /// The socket failed: which call, and how.
    Socket(&'static str, io::Error),
    /// The kernel refused a change, and with it the whole batch: which change, and why.
    Refused(String, io::Error),
}

impl Error {
    /// The error number.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Socket(_, error) | Error::Refused(_, error) => error.raw_os_error(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Error::Socket(call, error) => write!(f, "netlink socket of nftables: {call}: {error}"),
            Error::Refused(what, error) => write!(f, "nftables: {what}: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Socket(_, error) | Error::Refused(_, error) => Some(error),
        }
    }
}

/// A connection to nftables of the network namespace in which it was opened.
#[derive(Debug)]
pub struct Socket(netlink_sys::Socket);

impl Socket {
    /// Opens it.
    pub fn open() -> Result<Socket, Error> {
        let socket = netlink_sys::Socket::new(NETLINK_NETFILTER)
            .map_err(|error| Error::Socket("socket", error))?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(|error| Error::Socket("connect", error))?;
        // A refusal need not carry the whole message back. Kernels before 4.2 do not know.
        let _ = socket.set_cap_ack(true);
        Ok(Socket(socket))
    }

    /// Makes all of these changes, or none: then the error is of the first that was refused.
    pub fn commit(&self, batch: &Batch) -> Result<(), Error> {
        let bytes = batch.bytes();
        self.make_room(bytes.len());
        self.0.send(&bytes, 0).map_err(|error| Error::Socket("send", error))?;
        // The kernel has done it when send returns; what it did not like lies there. All of
        // it is read, so that the next batch finds no old refusals.
        let mut result = Ok(());
        let mut answers = vec![0; 64 * 1024];
        loop {
            match recv(self.0.as_raw_fd(), &mut answers, MsgFlags::MSG_DONTWAIT) {
                Ok(len) => result = result.and_then(|()| batch.judge(&answers[..len])),
                Err(nix::Error::EAGAIN) => return result,
                Err(errno) => return Err(Error::Socket("recv", errno.into())),
            }
        }
    }

    /// A batch goes in one message, however long; EMSGSIZE says where that ended.
    fn make_room(&self, len: usize) {
        if len > 64 * 1024 && setsockopt(&self.0, sockopt::SndBufForce, &len).is_err() {
            let _ = setsockopt(&self.0, sockopt::SndBuf, &len);
        }
    }
}

impl Batch {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // NFNL_SUBSYS_NFTABLES says whose batch it is.
        let control =
            |message| (NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 10), message);
        let (header, begin) = control(ControlMessage::BatchBegin);
        emit(&mut bytes, 0, 0, header, begin);
        for (number, change) in self.changes.iter().enumerate() {
            let header = NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0);
            emit(&mut bytes, number as u32 + 1, change.flags, header, change.message.clone());
        }
        let (header, end) = control(ControlMessage::BatchEnd);
        emit(&mut bytes, self.changes.len() as u32 + 1, 0, header, end);
        bytes
    }

    /// The first refusal among the kernel's answers.
    fn judge(&self, mut answers: &[u8]) -> Result<(), Error> {
        while answers.len() >= 16 {
            let len = NetlinkBuffer::new(answers).length() as usize;
            let parsed = NetlinkMessage::<NetfilterMessage>::deserialize(answers)
                .map_err(|error| Error::Socket("recv", io::Error::other(error)))?;
            if let NetlinkPayload::Error(refusal) = &parsed.payload
                && refusal.code.is_some()
            {
                let number = parsed.header.sequence_number as usize;
                let change = number.checked_sub(1).and_then(|index| self.changes.get(index));
                let what = change.map_or("batch".into(), |change| change.what.clone());
                return Err(Error::Refused(what, refusal.to_io()));
            }
            answers = answers.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        }
        Ok(())
    }
}

fn emit(
    bytes: &mut Vec<u8>,
    number: u32,
    flags: u16,
    header: NetfilterHeader,
    inner: impl Into<NetfilterMessageInner>,
) {
    let mut message = NetlinkMessage::from(NetfilterMessage::new(header, inner));
    message.header.flags = NLM_F_REQUEST | flags;
    message.header.sequence_number = number;
    message.finalize();
    let start = bytes.len();
    bytes.resize(start + message.buffer_len(), 0);
    message.serialize(&mut bytes[start..]);
}
