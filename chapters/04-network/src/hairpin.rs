//! Catalogue: not needed to understand the chapter.
//!
//! A container that asks for its own published port is sent back to itself. Mostly that is
//! routed, and the bridge only sees a packet of the host's. But where bridged packets pass
//! the rules too (br_netfilter, which others load), the bridge would have to send it out by
//! the port it came in by; and this a bridge does only if it is told to.

use netlink_packet_route::link::InfoBridgePort;
use rtnetlink::LinkBridgePort;

use crate::links::{Answer, Links};
use crate::sysctl;

impl Links {
    /// Tells the bridge, where it matters, that what came by this port may leave by it.
    pub(crate) fn may_turn_back(&self, port: &str) -> Answer<()> {
        let rules = ["bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"];
        if !rules.iter().any(|key| sysctl::read(key).is_ok_and(|value| value == "1")) {
            return Ok(());
        }
        let Some(port) = self.find(port)? else { return Ok(()) };
        let port =
            LinkBridgePort::new(port.index).append_info_data(InfoBridgePort::HairpinMode(true));
        self.ask(self.handle.link().set_port(port.build()).execute())
    }
}
