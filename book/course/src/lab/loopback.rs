//! The loopback interface of a new network namespace is down: put it up (rtnetlink(7)).

use std::os::fd::AsRawFd;

use ch01_clone::{Context, Error, Result};
use nix::errno::Errno;
use nix::libc::{IFF_UP, NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR, RTM_NEWLINK};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

/// In a new network namespace: `ip link set lo up`.
pub(super) fn up() -> Result<()> {
    let (family, kind) = (AddressFamily::Netlink, SockType::Raw);
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
        .call(|| "socket(AF_NETLINK, NETLINK_ROUTE)")?;
    send(socket.as_raw_fd(), &message(), MsgFlags::empty()).call(|| "send(RTM_NEWLINK, lo)")?;
    let mut answer = [0; 256];
    let length =
        recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty()).call(|| "recv(RTM_NEWLINK)")?;
    match outcome(&answer[..length]) {
        Some(0) => Ok(()),
        Some(code) => Err(Error::os("RTM_NEWLINK(lo, IFF_UP)", Errno::from_raw(-code))),
        None => Err(Error::new("RTM_NEWLINK(lo, IFF_UP): no answer")),
    }
}

/// nlmsghdr (length, type, flags, sequence, port), then ifinfomsg (family, type, index,
/// flags, which flags). The first interface of every network namespace is lo.
fn message() -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(32u32.to_ne_bytes());
    bytes.extend(RTM_NEWLINK.to_ne_bytes());
    bytes.extend(((NLM_F_REQUEST | NLM_F_ACK) as u16).to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([0; 4]);
    for word in [1, IFF_UP as u32, IFF_UP as u32] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

/// The code of an NLMSG_ERROR, which is 0 when all went well.
fn outcome(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let code = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (i32::from(kind) == NLMSG_ERROR).then_some(code)
}
