//! A container gets its wires: a lease first, then links, then rules.
//!
//! ```text
//!   host                                     container
//!   ┌────────────────────┐
//!   │ dockster0          │  bridge, 172.17.0.1/16
//!   │  ├── dv3f…  ═══════╪═══════════════╗
//!   │  └── dv9a…  ═══ …  │     veth      ║
//!   └────────────────────┘               eth0, 172.17.0.2/16
//!                                        default via 172.17.0.1
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use ch01_clone::{Context, Error, Result, step};

use crate::addresses;
use crate::host::Host;
use crate::inside::{distrust_routers, within};
use crate::lease::{Lease, Port};
use crate::link::Link;
use crate::links::{Links, Veth};
use crate::network::Network;
use crate::networks::Networks;
use crate::obstacles::warnings;

/// In every network namespace the loopback is the first link, and switched off.
const LOOPBACK: u32 = 1;

/// A container's wish to be on a network.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// The network's name or id.
    pub network: String,
    /// The container's id.
    pub container: String,
    /// The container's name.
    pub name: String,
    /// Other names for it on this network.
    pub aliases: Vec<String>,
    /// The IPv4 address that it shall have, if not any.
    pub address: Option<Ipv4Addr>,
    /// The same of IPv6.
    pub address6: Option<Ipv6Addr>,
    /// The hardware address that it shall have, if not that which goes with its address.
    pub mac: Option<String>,
    /// What is published of it.
    pub ports: Vec<Port>,
}

/// Sockets outside and inside.
struct Ends<'a> {
    netns: BorrowedFd<'a>,
    host: Host,
    inside: Links,
}

impl Networks {
    /// Puts a container on networks: `eth0` on the first, and so on, and a way out through the
    /// first that has one. Its loopback is switched on, even when nothing is asked for.
    ///
    /// All of it or nothing: what was made before a failure is removed.
    pub fn attach(&mut self, netns: BorrowedFd<'_>, asks: &[Ask]) -> Result<Vec<Lease>> {
        // ANCHOR: ends
        let host = Host::open(&self.site)?;
        let inside = within(netns, Links::open)?;
        // ANCHOR_END: ends
        inside.set_up(LOOPBACK).call(|| "RTM_SETLINK(lo, IFF_UP)")?;
        let ends = Ends { netns, host, inside };
        let mut made = Vec::new();
        for ask in asks {
            if let Err(error) = self.attach_one(&ends, ask, &mut made) {
                for (network, lease) in &made {
                    // The first error is the one to tell; what cannot be removed now keeps its
                    // lease, and the next sweep tries again.
                    let _ = self.release(&ends.host, network, lease);
                }
                return Err(error);
            }
        }
        Ok(made.into_iter().map(|(_, lease)| lease).collect())
    }

    fn attach_one(
        &mut self,
        ends: &Ends<'_>,
        ask: &Ask,
        made: &mut Vec<(Network, Lease)>,
    ) -> Result<()> {
        // ANCHOR: order
        let network = self.find(&ask.network)?.clone();
        let lease = self.lease(&network, ask, &free_interface(&ends.inside)?)?;
        made.push((network.clone(), lease.clone()));
        let bridge = self.bridge(&ends.host.links, &network)?;
        wire(ends, &network, &lease, &bridge)?;
        self.admit(&ends.host, &network, &lease)?;
        // ANCHOR_END: order
        // Told when the network comes up; whoever comes later can ask `network explain`.
        if self.leases(&network)?.len() == 1 {
            self.notes.extend(warnings(&network));
        }
        Ok(())
    }
}

/// The wire itself, and what makes its inner end usable.
fn wire(ends: &Ends<'_>, network: &Network, lease: &Lease, bridge: &Link) -> Result<()> {
    let (host, inside) = (lease.link.as_str(), lease.interface.as_str());
    let veth = Veth {
        name: host,
        bridge: bridge.index,
        mtu: bridge.mtu,
        netns: ends.netns,
        inside,
        mac: addresses::parse_mac(&lease.mac)?,
    };
    let on = network.bridge.as_str();
    step!(
        "veth",
        "A cable with two ends: one is plugged into the bridge, the other is in the \
         container's network namespace.",
        "ip link show type veth",
        "RTM_NEWLINK({host}, veth, master {on}, peer {inside} in the container)",
        ends.host.links.add_veth(&veth),
    )?;
    let ipv6 = lease.addresses.iter().any(|net| net.addr().is_ipv6());
    within(ends.netns, || distrust_routers(inside, ipv6))?;
    let link = ends.inside.existing(inside)?;
    family(&ends.inside, inside, link.index, ipv6)?;
    for address in &lease.addresses {
        step!(
            "address",
            "The address comes with its subnet: whoever is in it is reached over this link.",
            "nsenter -n -t PID ip addr",
            "RTM_NEWADDR({inside}, {address})",
            ends.inside.add_address(link.index, *address),
        )?;
    }
    ends.inside.set_up(link.index).call(|| format!("RTM_SETLINK({inside}, IFF_UP)"))?;
    add_routes(&ends.inside, network, inside, link.index)
}

/// Before it is switched on.
pub(crate) fn family(links: &Links, name: &str, index: u32, ipv6: bool) -> Result<()> {
    let without = || format!("RTM_SETLINK({name}, IFLA_INET6_ADDR_GEN_MODE none)");
    match ipv6 {
        true => Ok(()),
        false => links.leave_without_ipv6(index).call(without),
    }
}

/// The way out, unless another network has given one, or this one has none.
pub(crate) fn add_routes(inside: &Links, network: &Network, name: &str, index: u32) -> Result<()> {
    if network.internal {
        return Ok(());
    }
    for range in &network.ranges {
        let gateway = range.gateway;
        step!(
            "route",
            "Everybody else is behind the bridge's address. If another network has given a \
             way out already, that one stays.",
            "nsenter -n -t PID ip route",
            "RTM_NEWROUTE(default via {gateway} dev {name})",
            inside.add_default_route(index, gateway),
        )?;
    }
    Ok(())
}

/// The first of eth0, eth1, … that the container does not have.
fn free_interface(inside: &Links) -> Result<String> {
    for number in 0.. {
        let name = format!("eth{number}");
        if inside.find(&name).call(|| format!("RTM_GETLINK({name})"))?.is_none() {
            return Ok(name);
        }
    }
    Err(Error::new("no name is left for another link"))
}
