//! What is kept of who is on a network.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A container's place on a network. It is written down before any of it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// The container's id.
    pub container: String,
    /// The container's name, by which others on the network find it.
    pub name: String,
    /// Other names for it.
    pub aliases: Vec<String>,
    /// Its addresses, each with the length of its network's prefix.
    pub addresses: Vec<IpNet>,
    /// Its hardware address: `02:42:ac:11:00:02`.
    pub mac: String,
    /// The host's end of its wire (a veth link).
    pub link: String,
    /// The container's end, as it is called inside: `eth0`.
    pub interface: String,
    /// What is published of it through this network.
    pub ports: Vec<Port>,
}

/// A published port: who comes to the host's reaches the container's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// Of which protocol.
    pub protocol: Protocol,
    /// The host's address; `None` is all of them, IPv4 and IPv6.
    pub address: Option<IpAddr>,
    /// The host's port.
    pub host: u16,
    /// The container's port.
    pub container: u16,
}

/// What has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// tcp(7).
    Tcp,
    /// udp(7).
    Udp,
}
