//! What is kept of a network.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A network: one bridge, and the addresses behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// Its name, which no other has.
    pub name: String,
    /// When it was made, in nanoseconds since 1970.
    pub created: u64,
    /// The name of its bridge, of at most 15 bytes (netdevice(7), IFNAMSIZ).
    pub bridge: String,
    /// Its addresses: one IPv4 range, and with `--ipv6` one of IPv6.
    pub ranges: Vec<Range>,
    /// Whether no way leads out of it.
    pub internal: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A range of addresses, and the one of them that is the bridge's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Range {
    /// All of them: `172.18.0.0/16`.
    pub subnet: IpNet,
    /// The bridge's: whoever is on the network leaves it through this one.
    pub gateway: IpAddr,
}
