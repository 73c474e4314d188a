//! Catalogue: not needed to understand the chapter.
//!
//! What the kernel remembers of packets that belong together (conntrack). Where a flow goes
//! is asked of the rules once, for its first packet. One of UDP has no end: whoever keeps on
//! sending to a port that is published only now, or not any more, would never be asked again.

use std::net::IpAddr;

use ch01_clone::Result;
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol, Tuple,
};
use netlink_packet_netfilter::{NetfilterMessageInner, NetfilterProtoFamily};
use nix::errno::Errno;

use super::socket::Socket;

impl Socket {
    /// Forgets the flows of UDP that were sent to one of these ports: the next packet of
    /// each asks the rules.
    pub fn forget_udp(&self, ports: &[u16]) -> Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        let question = ConntrackMessage::Get(vec![]);
        let flows = match self.dump(NetfilterProtoFamily::Unspec, question) {
            // A kernel that does not tell what it remembers; it forgets after minutes.
            Err(error) if matches!(error.errno, Some(Errno::EINVAL | Errno::EOPNOTSUPP)) => {
                return Ok(());
            }
            flows => flows?,
        };
        for flow in flows {
            let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = flow.inner
            else {
                continue;
            };
            let sent = attributes.into_iter().find_map(|attribute| match attribute {
                ConntrackAttribute::CtaTupleOrig(sent) => Some(sent),
                _ => None,
            });
            if let Some(sent) = sent.filter(|sent| is_to(sent, ports)) {
                self.forget(sent)?;
            }
        }
        Ok(())
    }

    fn forget(&self, sent: Vec<Tuple>) -> Result<()> {
        let v6 = sent.iter().any(|part| match part {
            Tuple::Ip(ip) => {
                ip.iter().any(|part| matches!(part, IPTuple::SourceAddress(IpAddr::V6(_))))
            }
            _ => false,
        });
        let family = if v6 { NetfilterProtoFamily::IPv6 } else { NetfilterProtoFamily::IPv4 };
        let flow = vec![ConntrackAttribute::CtaTupleOrig(sent)];
        match self.request(family, ConntrackMessage::Delete(flow)) {
            // It ended meanwhile.
            Err(error) if error.errno == Some(Errno::ENOENT) => Ok(()),
            answer => answer,
        }
    }
}

fn is_to(sent: &[Tuple], ports: &[u16]) -> bool {
    let transport = sent.iter().find_map(|part| match part {
        Tuple::Proto(parts) => Some(parts),
        _ => None,
    });
    let udp = |part: &ProtoTuple| matches!(part, ProtoTuple::Protocol(Protocol::Udp));
    let to = |part: &ProtoTuple| matches!(part, ProtoTuple::DestinationPort(port) if ports.contains(port));
    transport.is_some_and(|parts| parts.iter().any(udp) && parts.iter().any(to))
}
