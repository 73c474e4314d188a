//! Catalogue: not needed to understand the chapter.
//!
//! The instructions of the rule machine, read back as the words they were made of.

use std::net::{Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{DefaultNla, Nla};
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute,
    Lookup, Meta, MetaKey, Operator, Payload, Verdict, VerdictAttribute,
};

use super::expressions::Expression;
use super::set::Kind;

/// What was read of a rule so far.
#[derive(Default)]
struct Reader {
    words: Vec<String>,
    /// The packet's properties that lie in registers.
    loaded: Vec<String>,
    mask: Vec<u8>,
    /// What a map answers to them.
    mapped: String,
}

/// A rule's text.
pub(super) fn rule(expressions: &[Expression]) -> String {
    let mut reader = Reader::default();
    for expression in expressions {
        let ListAttribute::Element(parts) = expression else { continue };
        for part in parts {
            if let ExpressionAttribute::Data(instruction) = part {
                reader.read(instruction);
            }
        }
    }
    reader.words.join(" ")
}

impl Reader {
    fn read(&mut self, instruction: &Expressions) {
        match instruction {
            Expressions::Meta(parts) => self.loaded.extend(parts.iter().filter_map(meta)),
            Expressions::Payload(parts) => self.payload(parts),
            Expressions::Bitwise(parts) => {
                for part in parts {
                    if let Bitwise::Mask(DataAttribute::Value(mask)) = part {
                        self.mask.clone_from(mask);
                    }
                }
            }
            Expressions::Cmp(parts) => self.cmp(parts),
            Expressions::Lookup(parts) => self.lookup(parts),
            Expressions::Immediate(parts) => self.words.extend(parts.iter().filter_map(verdict)),
            Expressions::Other { expression_type, attributes } => {
                self.other(expression_type, attributes);
            }
            _ => self.words.push("…".into()),
        }
    }

    fn payload(&mut self, parts: &[Payload]) {
        let (mut base, mut offset, mut len) = (0, 0, 0);
        for part in parts {
            match part {
                Payload::Base(value) => base = *value,
                Payload::Offset(value) => offset = *value,
                Payload::Len(value) => len = *value,
                _ => {}
            }
        }
        let name = match (base, offset, len) {
            (1, 8, 16) => "ip6 saddr".into(),
            (1, 24, 16) => "ip6 daddr".into(),
            (1, 12, 1..=4) => "ip saddr".into(),
            (1, 16, 1..=4) => "ip daddr".into(),
            (2, 2, 2) => "th dport".into(),
            (1, ..) => format!("@nh,{},{}", offset * 8, len * 8),
            _ => format!("@th,{},{}", offset * 8, len * 8),
        };
        // That it is of this IP need not be said twice.
        if name.starts_with("ip") && self.words.last().is_some_and(|w| w.contains("nfproto")) {
            self.words.pop();
        }
        self.loaded.push(name);
    }

    fn take(&mut self) -> String {
        std::mem::take(&mut self.loaded).join(" . ")
    }

    fn cmp(&mut self, parts: &[Cmp]) {
        let (what, mask) = (self.take(), std::mem::take(&mut self.mask));
        let mut not = false;
        for part in parts {
            match part {
                Cmp::Op(operator) => not = *operator == Operator::NotEqual,
                Cmp::Data(DataAttribute::Value(value)) => {
                    // Of bits it is asked whether one of them is set.
                    let not = if not && !what.starts_with("ct") { "!= " } else { "" };
                    self.words.push(format!("{what} {not}{}", value_of(&what, value, &mask)));
                }
                _ => {}
            }
        }
    }

    fn lookup(&mut self, parts: &[Lookup]) {
        let what = self.take();
        let (mut set, mut not, mut map) = ("", "", false);
        for part in parts {
            match part {
                Lookup::Set(name) => set = name,
                Lookup::Flags(1) => not = "!= ",
                Lookup::DestinationRegister(_) => map = true,
                _ => {}
            }
        }
        match map {
            true => self.mapped = format!("{what} map @{set}"),
            false => self.words.push(format!("{what} {not}@{set}")),
        }
    }

    fn other(&mut self, name: &str, attributes: &[DefaultNla]) {
        match name {
            "fib" => self.loaded.push("fib daddr type".into()),
            "ct" => self.loaded.push(match number(attributes, 2) {
                Some(0) => "ct state".into(),
                Some(2) => "ct status".into(),
                key => format!("ct {key:?}"),
            }),
            "masq" => self.words.push("masquerade".into()),
            "nat" => {
                let ip = if number(attributes, 2) == Some(10) { "ip6" } else { "ip" };
                self.words.push(format!("dnat {ip} to {}", self.mapped));
            }
            name => self.words.push(name.into()),
        }
    }
}

fn meta(part: &Meta) -> Option<String> {
    let Meta::Key(key) = part else { return None };
    Some(match key {
        MetaKey::Iifname => "iifname".into(),
        MetaKey::Oifname => "oifname".into(),
        MetaKey::Iifkind => "meta iifkind".into(),
        MetaKey::Oifkind => "meta oifkind".into(),
        MetaKey::Nfproto => "meta nfproto".into(),
        MetaKey::L4Proto => "meta l4proto".into(),
        key => format!("meta {}", u32::from(*key)),
    })
}

fn verdict(part: &Immediate) -> Option<String> {
    let Immediate::Data(DataAttribute::Verdict(parts)) = part else { return None };
    let chain = parts.iter().find_map(|part| match part {
        VerdictAttribute::Chain(name) => Some(name.as_str()),
        _ => None,
    });
    parts.iter().find_map(|part| match part {
        VerdictAttribute::Code(Verdict::Other(0)) => Some("drop".into()),
        VerdictAttribute::Code(Verdict::Other(1)) => Some("accept".into()),
        VerdictAttribute::Code(Verdict::Return) => Some("return".into()),
        VerdictAttribute::Code(Verdict::Jump) => Some(format!("jump {}", chain.unwrap_or("?"))),
        VerdictAttribute::Code(Verdict::Goto) => Some(format!("goto {}", chain.unwrap_or("?"))),
        _ => None,
    })
}

/// A number of 32 bits among an expression's attributes.
pub(super) fn number(attributes: &[DefaultNla], kind: u16) -> Option<u32> {
    let attribute = attributes.iter().find(|attribute| attribute.kind() == kind)?;
    let mut bytes = vec![0; attribute.value_len()];
    attribute.emit_value(&mut bytes);
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// A name among an expression's attributes.
pub(super) fn name_in(attributes: &[DefaultNla], kind: u16) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.kind() == kind)?;
    let mut bytes = vec![0; attribute.value_len()];
    attribute.emit_value(&mut bytes);
    let text: Vec<u8> = bytes.into_iter().take_while(|byte| *byte != 0).collect();
    String::from_utf8(text).ok()
}

/// What a property is compared with.
fn value_of(what: &str, value: &[u8], mask: &[u8]) -> String {
    let bits = || mask.try_into().map_or(0, u32::from_ne_bytes);
    match (what, value) {
        ("iifname" | "oifname", [.., 0]) | ("iifname" | "oifname", []) => {
            format!("\"{}\"", name(value))
        }
        ("iifname" | "oifname", _) => format!("\"{}*\"", name(value)),
        ("meta iifkind" | "meta oifkind", _) => format!("\"{}\"", name(value)),
        ("meta nfproto", [2]) => "ipv4".into(),
        ("meta nfproto", [10]) => "ipv6".into(),
        ("fib daddr type", _) => "local".into(),
        ("ct state", _) if bits() == 6 => "established,related".into(),
        ("ct status", _) if bits() == 0x20 => "dnat".into(),
        ("ip saddr" | "ip daddr", [first]) => format!("{first}.0.0.0/8"),
        (_, value) => match <[u8; 16]>::try_from(value) {
            Ok(bytes) if mask.is_empty() => Ipv6Addr::from(bytes).to_string(),
            Ok(bytes) => {
                let len: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
                format!("{}/{len}", Ipv6Addr::from(bytes))
            }
            Err(_) => format!("{value:02x?}"),
        },
    }
}

fn name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The parts of a key, or of what it maps to.
pub(super) fn elements(kinds: &[Kind], mut bytes: &[u8]) -> String {
    let mut parts = Vec::new();
    for kind in kinds {
        let Some((part, rest)) = bytes.split_at_checked(kind.len() as usize) else { break };
        bytes = rest;
        parts.push(match kind {
            Kind::Link => format!("\"{}\"", name(part)),
            Kind::Protocol if part[0] == 6 => "tcp".into(),
            Kind::Protocol if part[0] == 17 => "udp".into(),
            Kind::Protocol => part[0].to_string(),
            Kind::Port => u16::from_be_bytes([part[0], part[1]]).to_string(),
            Kind::V4 => Ipv4Addr::new(part[0], part[1], part[2], part[3]).to_string(),
            Kind::V6 => {
                part.try_into().map_or("?".into(), |b: [u8; 16]| Ipv6Addr::from(b).to_string())
            }
        });
    }
    parts.join(" . ")
}
