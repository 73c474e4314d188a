//! Catalogue: not needed to understand the chapter.
//!
//! A network's bridge: it comes with the first on the network, and goes with the last.

use std::net::{IpAddr, Ipv4Addr};

use ch01_clone::{Context, Error, Result, step};
use ipnet::IpNet;
use netlink_packet_route::link::InfoKind;

use crate::addresses;
use crate::attach::family;
use crate::inside::{distrust_routers, route_localhost};
use crate::link::Link;
use crate::links::Links;
use crate::network::Network;
use crate::networks::Networks;

impl Networks {
    /// The network's bridge: that which is there, or a new one. Only a finished one is switched
    /// on, so that whoever finds it otherwise goes on where somebody else was killed.
    pub(crate) fn bridge(&self, links: &Links, network: &Network) -> Result<Link> {
        let name = network.bridge.as_str();
        let found = links.find(name).call(|| format!("RTM_GETLINK({name})"))?;
        let bridge = match found {
            Some(link) if !is_ours(&link, network) => {
                let error = format!("the link {name} is there already, and is not ours");
                return Err(
                    Error::new(error).hint(format!("look at it with `ip -d link show {name}`"))
                );
            }
            Some(bridge) if bridge.up => return Ok(bridge),
            Some(bridge) => bridge,
            None => new_bridge(links, network)?,
        };
        let ipv6 = network.ranges.iter().any(|range| range.subnet.addr().is_ipv6());
        distrust_routers(name, ipv6)?;
        if !network.internal {
            route_localhost(name)?;
        }
        family(links, name, bridge.index, ipv6)?;
        for range in &network.ranges {
            let gateway = IpNet::new_assert(range.gateway, range.subnet.prefix_len());
            step!(
                "bridge",
                "The bridge has an address of its own: through it the containers leave, and \
                 the host finds them.",
                "ip addr show type bridge",
                "RTM_NEWADDR({name}, {gateway})",
                links.add_address(bridge.index, gateway),
            )?;
        }
        links.set_up(bridge.index).call(|| format!("RTM_SETLINK({name}, IFF_UP)"))?;
        Ok(bridge)
    }
}

/// Whether a link is the network's bridge. Somebody else's of that name is not touched.
fn is_ours(link: &Link, network: &Network) -> bool {
    link.kind == Some(InfoKind::Bridge) && link.mac == bridge_mac(network)
}

fn bridge_mac(network: &Network) -> [u8; 6] {
    let address = network.ranges.iter().find_map(|range| match range.gateway {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    addresses::mac(address.unwrap_or(Ipv4Addr::UNSPECIFIED))
}

fn new_bridge(links: &Links, network: &Network) -> Result<Link> {
    let name = network.bridge.as_str();
    let mtu = links.mtu().call(|| "RTM_GETROUTE(the default route)")?;
    step!(
        "bridge",
        "A bridge is a switch made of software: what is plugged in is on one network. The \
         first container on a network brings it, the last takes it away.",
        "ip -d link show type bridge",
        "RTM_NEWLINK({name}, bridge, mtu {mtu})",
        links.add_bridge(name, bridge_mac(network), mtu),
    )?;
    links.existing(name)
}

/// Takes it away, if it is there.
pub(crate) fn remove(links: &Links, network: &Network) -> Result<()> {
    let name = network.bridge.as_str();
    let found = links.find(name).call(|| format!("RTM_GETLINK({name})"))?;
    if !found.is_some_and(|link| is_ours(&link, network)) {
        return Ok(());
    }
    step!(
        "detach",
        "The last one on the network takes the bridge away, with its addresses and routes.",
        "ip link show type bridge",
        "RTM_DELLINK({name})",
        links.delete(name),
    )?;
    Ok(())
}
