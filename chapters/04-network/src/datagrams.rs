//! Catalogue: not needed to understand the chapter.
//!
//! A socket for datagrams that is bound to all addresses of the host. Whoever sends to one
//! of them waits for what comes back from the same: connected, as most are, they hear
//! nobody else. TCP sees to this by itself; here it is said with each datagram (ip(7),
//! IP_PKTINFO; RFC 3542, 6).

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// A datagram's two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    /// Who sent it.
    pub(crate) client: SocketAddr,
    /// To which of our addresses.
    own: IpAddr,
    /// The index of the link that it came by, where only there the address means anything.
    link: u32,
}

/// The socket.
#[derive(Debug)]
pub(crate) struct Datagrams(UdpSocket);

impl Datagrams {
    /// `socket` as one that tells to which address a datagram came.
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Datagrams> {
        match socket.local_addr()? {
            SocketAddr::V4(_) => setsockopt(&socket, Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, Ipv6RecvPacketInfo, &true)?,
        }
        Ok(Datagrams(socket))
    }

    /// Waits for a datagram: how long it is, and between whom.
    pub(crate) async fn receive(&self, packet: &mut [u8]) -> io::Result<(usize, Ends)> {
        let receive = || {
            let mut beside = nix::cmsg_space!(in6_pktinfo);
            let mut into = [IoSliceMut::new(packet)];
            let fd = self.0.as_raw_fd();
            let got =
                recvmsg::<SockaddrStorage>(fd, &mut into, Some(&mut beside), MsgFlags::empty())?;
            let client = got.address.as_ref().and_then(address);
            let own = got.cmsgs()?.find_map(own);
            let (client, (own, link)) = client.zip(own).ok_or(io::ErrorKind::InvalidData)?;
            Ok((got.bytes, Ends { client, own, link }))
        };
        self.0.async_io(Interest::READABLE, receive).await
    }

    /// Sends a datagram back from where the client's went to, if there is room at once.
    pub(crate) fn send_back(&self, packet: &[u8], ends: Ends) -> io::Result<usize> {
        let parts = [IoSlice::new(packet)];
        let to = SockaddrStorage::from(ends.client);
        let send = |from: ControlMessage<'_>| {
            let fd = self.0.as_raw_fd();
            Ok(sendmsg(fd, &parts, &[from], MsgFlags::MSG_DONTWAIT, Some(&to))?)
        };
        self.0.try_io(Interest::WRITABLE, || match ends.own {
            IpAddr::V4(own) => send(ControlMessage::Ipv4PacketInfo(&in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: in_addr { s_addr: u32::from_ne_bytes(own.octets()) },
                ipi_addr: in_addr { s_addr: 0 },
            })),
            IpAddr::V6(own) => send(ControlMessage::Ipv6PacketInfo(&in6_pktinfo {
                ipi6_addr: in6_addr { s6_addr: own.octets() },
                ipi6_ifindex: ends.link,
            })),
        })
    }
}

fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
    let four = from.as_sockaddr_in().map(|from| SocketAddr::from(*from));
    four.or_else(|| from.as_sockaddr_in6().map(|from| SocketAddr::from(*from)))
}

/// Where it came to. A broadcast is answered from the address that the kernel chose for it.
fn own(message: ControlMessageOwned) -> Option<(IpAddr, u32)> {
    match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some((Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into(), 0))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            let own = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            let link = if own.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
            Some((own.into(), link))
        }
        _ => None,
    }
}
