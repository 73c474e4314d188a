//! Catalogue: not needed to understand the chapter.
//!
//! The way of a batch to the kernel, and of its answer back (netlink(7)).

use std::os::fd::AsRawFd;

use ch01_clone::{Context, Error, Result};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::{SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};

use super::batch::Batch;

/// A connection to nftables of the network namespace in which it was opened.
#[derive(Debug)]
pub struct Socket(netlink_sys::Socket);

impl Socket {
    /// Opens it.
    pub fn open() -> Result<Socket> {
        let socket = netlink_sys::Socket::new(NETLINK_NETFILTER)
            .call(|| "socket(AF_NETLINK, NETLINK_NETFILTER)")?;
        socket.connect(&SocketAddr::new(0, 0)).call(|| "connect(NETLINK_NETFILTER)")?;
        // A refusal need not carry the whole message back. Kernels before 4.2 do not know.
        let _ = socket.set_cap_ack(true);
        Ok(Socket(socket))
    }

    /// Makes all of these changes, or none: then the error is of the first that was refused.
    pub fn commit(&self, batch: &Batch) -> Result<()> {
        let bytes = batch.bytes();
        self.make_room(bytes.len());
        self.0.send(&bytes, 0).call(|| "send(NETLINK_NETFILTER)")?;
        // The kernel has done it when send returns; what it did not like lies there. All of
        // it is read, so that the next batch finds no old refusals.
        let mut result = Ok(());
        let mut answers = vec![0; 64 * 1024];
        loop {
            match recv(self.0.as_raw_fd(), &mut answers, MsgFlags::MSG_DONTWAIT) {
                Ok(len) => result = result.and_then(|()| batch.judge(&answers[..len])),
                Err(nix::Error::EAGAIN) => return result,
                Err(errno) => return Err(Error::os("recv(NETLINK_NETFILTER)", errno)),
            }
        }
    }

    /// All that there is of this family and answers the question.
    pub(super) fn dump(
        &self,
        family: NetfilterProtoFamily,
        question: impl Into<NetfilterMessageInner>,
    ) -> Result<Vec<NetfilterMessage>> {
        let mut bytes = Vec::new();
        let header = NetfilterHeader::new(family, 0, 0);
        emit(&mut bytes, 0, NLM_F_DUMP, header, question);
        self.0.send(&bytes, 0).call(|| "send(NETLINK_NETFILTER)")?;
        let mut found = Vec::new();
        loop {
            let (answers, _) = self.0.recv_from_full().call(|| "recv(NETLINK_NETFILTER)")?;
            for answer in parse(&answers) {
                match answer?.payload {
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(refusal) => {
                        return Err(refusal.to_io()).call(|| "netfilter: list");
                    }
                    NetlinkPayload::InnerMessage(message) => found.push(message),
                    _ => {}
                }
            }
        }
    }

    /// One request that is no part of a batch.
    pub(super) fn request(
        &self,
        family: NetfilterProtoFamily,
        request: impl Into<NetfilterMessageInner>,
    ) -> Result<()> {
        let mut bytes = Vec::new();
        emit(&mut bytes, 0, NLM_F_ACK, NetfilterHeader::new(family, 0, 0), request);
        self.0.send(&bytes, 0).call(|| "send(NETLINK_NETFILTER)")?;
        let (answer, _) = self.0.recv_from_full().call(|| "recv(NETLINK_NETFILTER)")?;
        Batch::new("").judge(&answer)
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
        // ANCHOR: batch
        let (header, begin) = control(ControlMessage::BatchBegin);
        emit(&mut bytes, 0, 0, header, begin);
        for (number, change) in self.changes.iter().enumerate() {
            let header = NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0);
            emit(&mut bytes, number as u32 + 1, change.flags, header, change.message.clone());
        }
        let (header, end) = control(ControlMessage::BatchEnd);
        emit(&mut bytes, self.changes.len() as u32 + 1, 0, header, end);
        // ANCHOR_END: batch
        bytes
    }

    /// The first refusal among the kernel's answers.
    fn judge(&self, answers: &[u8]) -> Result<()> {
        for answer in parse(answers) {
            let answer = answer?;
            if let NetlinkPayload::Error(refusal) = &answer.payload
                && refusal.code.is_some()
            {
                let number = answer.header.sequence_number as usize;
                let change = number.checked_sub(1).and_then(|index| self.changes.get(index));
                let what = change.map_or("batch", |change| &change.what);
                return Err(refusal.to_io()).call(|| format!("nftables: {what}"));
            }
        }
        Ok(())
    }
}

/// The messages that lie one after the other in what was received.
fn parse(mut bytes: &[u8]) -> impl Iterator<Item = Result<NetlinkMessage<NetfilterMessage>>> {
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(bytes).ok()?;
        let parsed = NetlinkMessage::deserialize(bytes)
            .map_err(|error| Error::new(format!("nftables answers nonsense: {error}")));
        bytes = bytes.get((message.length() as usize).next_multiple_of(4)..).unwrap_or(&[]);
        Some(parsed)
    })
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
