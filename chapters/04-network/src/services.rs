//! Catalogue: not needed to understand the chapter.
//!
//! The sockets at which somebody has to sit: name servers, and published ports that no
//! rule can redirect. Which they are follows from the networks and leases, as the links
//! and rules do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use ch01_clone::{Context, Error, Result};
use nix::errno::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use serde::{Deserialize, Serialize};

use crate::known::has_names;
use crate::{Lease, Network, Port, Protocol};

/// One socket, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Service {
    /// The name of the network it belongs to.
    pub network: String,
    /// Whether it takes connections or datagrams.
    pub protocol: Protocol,
    /// To what it is bound.
    pub at: SocketAddr,
    /// What it is for.
    pub work: Work,
}

/// What a socket is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Work {
    /// Answering to names.
    Names,
    /// Passing on to a container.
    Port {
        /// Its id.
        container: String,
        /// Its address and port.
        to: SocketAddr,
    },
}

/// How far the rules of the network table reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// All of this host but `::1`.
    Host,
    /// Nothing outside of our own network namespace: every published port is a socket.
    Apart,
}

/// All sockets that these networks with their leases need.
pub fn services<'a>(
    networks: impl IntoIterator<Item = (&'a Network, &'a [Lease])>,
    reach: Reach,
) -> Vec<Service> {
    let mut all = Vec::new();
    for (network, leases) in networks {
        if !leases.is_empty() && has_names(network) {
            all.extend(names(network));
        }
        for lease in leases {
            all.extend(lease.ports.iter().flat_map(|port| ports(network, lease, port, reach)));
        }
    }
    all
}

/// At each gateway. The bridge of a network that nobody is on is not there.
fn names(network: &Network) -> impl Iterator<Item = Service> {
    let each = |gateway| {
        [Protocol::Udp, Protocol::Tcp].map(|protocol| Service {
            network: network.name.clone(),
            protocol,
            at: SocketAddr::new(gateway, 53),
            work: Work::Names,
        })
    };
    network.ranges.iter().flat_map(move |range| each(range.gateway))
}

fn ports(network: &Network, lease: &Lease, port: &Port, reach: Reach) -> Vec<Service> {
    let all = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let asked = match port.address {
        Some(address) => vec![address],
        None => all.to_vec(),
    };
    let hosts: Vec<IpAddr> = match reach {
        Reach::Apart => asked,
        // Of all of IPv6, what no rule can redirect.
        Reach::Host if asked.contains(&all[1]) || asked.contains(&loopback) => vec![loopback],
        Reach::Host => Vec::new(),
    };
    let service = |host: IpAddr| {
        let to = SocketAddr::new(target(lease, host)?, port.container);
        let work = Work::Port { container: lease.container.clone(), to };
        let at = SocketAddr::new(host, port.host);
        Some(Service { network: network.name.clone(), protocol: port.protocol, at, work })
    };
    hosts.into_iter().filter_map(service).collect()
}

/// The container's address of the same family, or else the one it has.
fn target(lease: &Lease, host: IpAddr) -> Option<IpAddr> {
    let mut addresses = lease.addresses.iter().map(|net| net.addr());
    let same = addresses.clone().find(|address| address.is_ipv4() == host.is_ipv4());
    same.or_else(|| addresses.next())
}

impl Service {
    /// Opens the socket in the calling thread's network namespace. For a port below 1024
    /// it takes CAP_NET_BIND_SERVICE there.
    ///
    /// # Errors
    ///
    /// EADDRINUSE if somebody else has the port, EACCES if it takes a privilege.
    pub fn open(&self) -> Result<OwnedFd> {
        let at = self.at;
        self.bound().map_err(std::io::Error::from).call(|| format!("bind({at})")).map_err(
            |error: Error| match error.errno {
                Some(Errno::EADDRINUSE) => {
                    error.hint(format!("who has it: ss -lnp sport = :{}", at.port()))
                }
                Some(Errno::EACCES) => {
                    error.hint("ports below net.ipv4.ip_unprivileged_port_start are root's (ip(7))")
                }
                _ => error,
            },
        )
    }

    fn bound(&self) -> rustix::io::Result<OwnedFd> {
        let family = match self.at {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = net::socket_with(family, self.socket_type(), SocketFlags::CLOEXEC, None)?;
        if family == AddressFamily::INET6 {
            // IPv4 has a socket of its own.
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        if self.protocol == Protocol::Tcp {
            // Connections of before, which have still to time out, do not hold the port.
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        net::bind(&socket, &self.at)?;
        if self.protocol == Protocol::Tcp {
            net::listen(&socket, 1024)?;
        }
        Ok(socket)
    }

    pub(crate) fn socket_type(&self) -> SocketType {
        match self.protocol {
            Protocol::Tcp => SocketType::STREAM,
            Protocol::Udp => SocketType::DGRAM,
        }
    }
}
