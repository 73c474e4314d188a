//! Catalogue: not needed to understand the chapter.
//!
//! What differs from host to host: the sets and maps of our table, and what is in them.

use std::net::IpAddr;

use crate::nft::{Element, Kind, Set, Value};
use crate::{Guard, Lease, Network, Port, Protocol};

/// The sets and maps.
pub(crate) const SETS: [Set; 8] = [
    Set { name: "bridges", comment: "the networks", key: &[Kind::Link], data: &[] },
    Set { name: "internal", comment: "those with no way out", key: &[Kind::Link], data: &[] },
    Set { name: "found", comment: "links that were here before", key: &[Kind::Link], data: &[] },
    Set {
        name: "within",
        comment: "from a network into itself",
        key: &[Kind::Link, Kind::Link],
        data: &[],
    },
    Set {
        name: "ports4",
        comment: "published on an address",
        key: &[Kind::Protocol, Kind::V4, Kind::Port],
        data: &[Kind::V4, Kind::Port],
    },
    Set {
        name: "anywhere4",
        comment: "published on every address",
        key: &[Kind::Protocol, Kind::Port],
        data: &[Kind::V4, Kind::Port],
    },
    Set {
        name: "ports6",
        comment: "published on an address",
        key: &[Kind::Protocol, Kind::V6, Kind::Port],
        data: &[Kind::V6, Kind::Port],
    },
    Set {
        name: "anywhere6",
        comment: "published on every address",
        key: &[Kind::Protocol, Kind::Port],
        data: &[Kind::V6, Kind::Port],
    },
];

/// What a network puts into the sets.
pub(crate) fn of_network(network: &Network) -> Vec<Element> {
    let bridge = Value::Link(&network.bridge);
    let mut elements =
        vec![Element::new("bridges", &[bridge]), Element::new("within", &[bridge, bridge])];
    if network.internal {
        elements.push(Element::new("internal", &[bridge]));
    }
    elements
}

/// What a lease puts into the maps; nothing leads into an internal network.
pub(crate) fn of_lease(network: &Network, lease: &Lease) -> Vec<Element> {
    let ports = if network.internal { &[] } else { &lease.ports[..] };
    let each = |port| lease.addresses.iter().filter_map(move |to| published(port, to.addr()));
    let mut elements: Vec<Element> = ports.iter().flat_map(each).collect();
    elements.sort_by_key(|element| element.set);
    elements
}

/// The links that were there when this host became a router.
pub(crate) fn of_guard(guard: &Guard) -> Vec<Element> {
    guard.links.iter().map(|link| Element::new("found", &[Value::Link(link)])).collect()
}

/// The host's ports of UDP.
pub(crate) fn udp_ports<'a>(leases: impl IntoIterator<Item = &'a Lease>) -> Vec<u16> {
    let ports = leases.into_iter().flat_map(|lease| &lease.ports);
    ports.filter(|port| port.protocol == Protocol::Udp).map(|port| port.host).collect()
}

/// A port of the container's address; `None` where the host's address is of the other IP.
fn published(port: &Port, to: IpAddr) -> Option<Element> {
    let (protocol, host) = (Value::Protocol(port.protocol), Value::Port(port.host));
    let target = [Value::Address(to), Value::Port(port.container)];
    let (by_address, by_port) =
        if to.is_ipv4() { ("ports4", "anywhere4") } else { ("ports6", "anywhere6") };
    match port.address {
        None => Some(Element::map(by_port, &[protocol, host], &target)),
        Some(address) if address.is_unspecified() && address.is_ipv4() == to.is_ipv4() => {
            Some(Element::map(by_port, &[protocol, host], &target))
        }
        Some(address) if address.is_ipv4() == to.is_ipv4() => {
            let key = [protocol, Value::Address(address), host];
            Some(Element::map(by_address, &key, &target))
        }
        Some(_) => None,
    }
}
