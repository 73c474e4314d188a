//! Catalogue: not needed to understand the chapter.
//!
//! Sets and maps: what their keys are made of, and how a value lies in the kernel's
//! registers, of four bytes each.

use std::net::IpAddr;

use crate::Protocol;

/// What a part of a key, or of what it maps to, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A link by its name: `ifname`.
    Link,
    /// `inet_proto`.
    Protocol,
    /// `ipv4_addr`.
    V4,
    /// `ipv6_addr`.
    V6,
    /// `inet_service`.
    Port,
}

impl Kind {
    /// Its number in `nft`'s table of types (`enum datatypes`), which the kernel keeps for it.
    fn number(self) -> u32 {
        match self {
            Kind::Link => 41,
            Kind::Protocol => 12,
            Kind::V4 => 7,
            Kind::V6 => 8,
            Kind::Port => 13,
        }
    }

    /// Bytes, in whole registers.
    pub(super) fn len(self) -> u32 {
        match self {
            Kind::Link | Kind::V6 => 16,
            Kind::Protocol | Kind::V4 | Kind::Port => 4,
        }
    }
}

/// The type of a concatenation: six bits for each part.
pub(super) fn type_of(parts: &[Kind]) -> u32 {
    parts.iter().fold(0, |all, part| all << 6 | part.number())
}

/// Its length in bytes.
pub(super) fn len_of(parts: &[Kind]) -> u32 {
    parts.iter().map(|part| part.len()).sum()
}

/// A named set; with data, a map.
#[derive(Debug, Clone, Copy)]
pub struct Set {
    /// By which rules and elements find it.
    pub name: &'static str,
    /// What it is for.
    pub comment: &'static str,
    /// The parts of its keys.
    pub key: &'static [Kind],
    /// The parts of what they map to; empty for a set.
    pub data: &'static [Kind],
}

/// A part of an element.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// A link's name, of at most 15 bytes.
    Link(&'a str),
    /// A protocol by its number.
    Protocol(Protocol),
    /// An address.
    Address(IpAddr),
    /// A port.
    Port(u16),
}

/// A key in a set, and what it maps to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The set.
    pub set: &'static str,
    /// The key, as it lies in registers.
    pub key: Vec<u8>,
    /// What it maps to; empty in a set.
    pub data: Vec<u8>,
}

impl Element {
    /// A key of a set.
    pub fn new(set: &'static str, key: &[Value]) -> Element {
        Element { set, key: registers(key), data: Vec::new() }
    }

    /// An entry of a map.
    pub fn map(set: &'static str, key: &[Value], data: &[Value]) -> Element {
        Element { set, key: registers(key), data: registers(data) }
    }
}

fn registers(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        match value {
            Value::Link(name) => bytes.extend(link_name(name)),
            Value::Protocol(protocol) => bytes.push(number(*protocol)),
            Value::Address(IpAddr::V4(address)) => bytes.extend(address.octets()),
            Value::Address(IpAddr::V6(address)) => bytes.extend(address.octets()),
            Value::Port(port) => bytes.extend(port.to_be_bytes()),
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// A link's name as the kernel compares it: 16 bytes, the rest of them zero.
pub(super) fn link_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let len = name.len().min(15);
    bytes[..len].copy_from_slice(&name.as_bytes()[..len]);
    bytes
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}
