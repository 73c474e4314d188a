//! The world of the packet tests: a host with three networks, someone outside, and someone
//! behind another link of the host.

use std::collections::BTreeMap;

use ch04_network::{Firewall, Guard, Lease, Network, Port, Protocol, Range};
use dockster_tests::Failed;

use crate::lan::Host;

/// All of them. The host is 192.0.2.1 and 2001:db8::1 on `eth0`, 198.51.100.1 on `eth1`.
pub struct World {
    pub host: Host,
    /// 192.0.2.2, 2001:db8::2. It knows the way to the containers.
    pub outside: Host,
    /// 198.51.100.2. It knows the way to 192.0.2.0/24 and to the containers.
    pub other: Host,
    pub firewall: Firewall,
}

impl World {
    pub fn new() -> Result<World, Failed> {
        let (host, outside, other) = (Host::new()?, Host::new()?, Host::new()?);
        host.wire("eth0", &outside, "eth0")?;
        host.wire("eth1", &other, "eth0")?;
        for address in ["192.0.2.1/24", "2001:db8::1/64"] {
            host.address("eth0", address)?;
        }
        for address in ["192.0.2.2/24", "2001:db8::2/64"] {
            outside.address("eth0", address)?;
        }
        host.address("eth1", "198.51.100.1/24")?;
        other.address("eth0", "198.51.100.2/24")?;
        outside.ip("route add 198.51.100.0/24 via 192.0.2.1")?;
        outside.ip("route add fd00::/8 via 2001:db8::1")?;
        other.ip("route add 192.0.2.0/24 via 198.51.100.1")?;
        for who in [(&outside, "192.0.2.1"), (&other, "198.51.100.1")] {
            who.0.ip(&format!("route add 172.16.0.0/12 via {}", who.1))?;
        }
        for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            host.set_sysctl(key, "1")?;
        }
        let firewall = host.within(|| Firewall::new("dockster"))?;
        Ok(World { host, outside, other, firewall })
    }

    /// A host with one network of the usual name, and one container on it with these ports.
    pub fn with_one(ports: &[&str]) -> Result<(World, Network, Lease, Host), Failed> {
        let world = World::new()?;
        let net = network("dockster0", 17, false);
        let one = lease(&net, 2, ports);
        world.bridge(&net)?;
        let container = world.container(&net, &one)?;
        world.firewall.rebuild(&[(net.clone(), vec![one.clone()])], Guard::default())?;
        Ok((world, net, one, container))
    }

    /// Makes a network's bridge.
    pub fn bridge(&self, network: &Network) -> Result<(), Failed> {
        let bridge = &network.bridge;
        self.host.ip(&format!("link add {bridge} type bridge"))?;
        self.host.ip(&format!("link set {bridge} up"))?;
        for range in &network.ranges {
            let address = format!("{}/{}", range.gateway, range.subnet.prefix_len());
            self.host.address(bridge, &address)?;
        }
        self.host.within(|| {
            ch04_network::inside::distrust_routers(bridge, true)?;
            ch04_network::inside::route_localhost(bridge)
        })?;
        Ok(())
    }

    /// Makes a container on it that serves 80 by TCP and UDP, and is called as its lease.
    pub fn container(&self, network: &Network, lease: &Lease) -> Result<Host, Failed> {
        let container = Host::new()?;
        self.host.wire(&lease.link, &container, "eth0")?;
        self.host.ip(&format!("link set {} master {}", lease.link, network.bridge))?;
        // Where bridged packets pass the rules (br_netfilter), they may go back as they came.
        self.host.ip(&format!("link set {} type bridge_slave hairpin on", lease.link))?;
        for (range, address) in network.ranges.iter().zip(&lease.addresses) {
            container.address("eth0", &address.to_string())?;
            container.ip(&format!("route add default via {}", range.gateway))?;
        }
        container.serve_both(&lease.name, 80)?;
        Ok(container)
    }
}

/// A network: `number` 17 is 172.17.0.0/16 and fd00:17::/64.
pub fn network(bridge: &str, number: u8, internal: bool) -> Network {
    let range = |subnet: String, gateway: String| Range {
        subnet: subnet.parse().expect("a subnet"),
        gateway: gateway.parse().expect("an address"),
    };
    Network {
        id: format!("{number:064}"),
        name: format!("net{number}"),
        created: 0,
        bridge: bridge.into(),
        ranges: vec![
            range(format!("172.{number}.0.0/16"), format!("172.{number}.0.1")),
            range(format!("fd00:{number}::/64"), format!("fd00:{number}::1")),
        ],
        internal,
        labels: BTreeMap::new(),
    }
}

/// A lease on it: `number` 2 is .0.2 and ::2.
pub fn lease(network: &Network, number: u16, ports: &[&str]) -> Lease {
    let net = &network.name[3..];
    let [high, low] = number.to_be_bytes();
    let addresses = [format!("172.{net}.{high}.{low}/16"), format!("fd00:{net}::{number:x}/64")];
    Lease {
        container: format!("{number:064}"),
        name: format!("c{net}-{number}"),
        aliases: vec![],
        addresses: addresses.map(|address| address.parse().expect("an address")).to_vec(),
        mac: format!("02:42:ac:{net}:{high:02x}:{low:02x}"),
        link: format!("dv{net}{number}"),
        interface: "eth0".into(),
        ports: ports.iter().map(|port| self::port(port)).collect(),
    }
}

/// `[ADDRESS=]HOST:CONTAINER/PROTOCOL`.
fn port(text: &str) -> Port {
    let (address, rest) = match text.split_once('=') {
        Some((address, rest)) => (Some(address.parse().expect("an address")), rest),
        None => (None, text),
    };
    let (ports, protocol) = rest.split_once('/').expect("a protocol");
    let (host, container) = ports.split_once(':').expect("two ports");
    Port {
        protocol: if protocol == "tcp" { Protocol::Tcp } else { Protocol::Udp },
        address,
        host: host.parse().expect("a port"),
        container: container.parse().expect("a port"),
    }
}
