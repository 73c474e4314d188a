//! Catalogue: not needed to understand the chapter.
//!
//! A rule is a program: each of its instructions works on registers
//! (`linux/netfilter/nf_tables.h`), and the first that says no ends it.

use std::net::IpAddr;

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute,
    Lookup, Meta, MetaKey, Operator, Payload, Register, Verdict, VerdictAttribute,
};

use super::chains::{Chains, Member, found};
use super::expressions::Expression;
use super::play::Packet;
use super::set::link_name;
use super::text::{name_in, number};

/// What an instruction says.
pub(super) enum Said {
    Next,
    NoMatch,
    Verdict(Verdict, String),
    Reject,
}

/// Sixteen of four bytes; a byte that is not known is `None`.
pub(super) struct Registers<'a> {
    packet: &'a Packet,
    bytes: [Option<u8>; 64],
}

/// The first byte of a register: the four large ones lie over the sixteen small ones.
fn place(register: Register) -> usize {
    match u32::from(register) as usize {
        large @ 1..=4 => (large - 1) * 16,
        small @ 8..=23 => (small - 8) * 4,
        _ => 0,
    }
}

impl<'a> Registers<'a> {
    pub fn new(packet: &'a Packet) -> Self {
        Registers { packet, bytes: [None; 64] }
    }

    pub fn run(&mut self, expressions: &[Expression], chains: &Chains) -> Said {
        for expression in expressions {
            let ListAttribute::Element(parts) = expression else { continue };
            for part in parts {
                let ExpressionAttribute::Data(instruction) = part else { continue };
                match self.step(instruction, chains) {
                    Said::Next => {}
                    said => return said,
                }
            }
        }
        Said::Next
    }

    fn step(&mut self, instruction: &Expressions, chains: &Chains) -> Said {
        match instruction {
            Expressions::Meta(parts) => self.meta(parts),
            Expressions::Payload(parts) => self.payload(parts),
            Expressions::Bitwise(parts) => self.bitwise(parts),
            Expressions::Cmp(parts) => self.cmp(parts),
            Expressions::Lookup(parts) => self.lookup(parts, chains),
            Expressions::Immediate(parts) => immediate(parts),
            Expressions::Other { expression_type, attributes } => {
                self.other(expression_type, attributes)
            }
            _ => Said::NoMatch,
        }
    }

    fn other(&mut self, name: &str, attributes: &[DefaultNla]) -> Said {
        match name {
            "counter" | "log" | "notrack" => Said::Next,
            "reject" => Said::Reject,
            // Extensions of iptables: NFTA_MATCH_NAME, NFTA_TARGET_NAME.
            "match" if name_in(attributes, 1).as_deref() == Some("comment") => Said::Next,
            "target" if name_in(attributes, 1).as_deref() == Some("REJECT") => Said::Reject,
            "ct" => {
                let value = match number(attributes, 2) {
                    // The bit of IP_CT_NEW; IPS_DST_NAT.
                    Some(0) => Some(8u32.to_ne_bytes()),
                    Some(2) => Some((u32::from(self.packet.redirected) << 5).to_ne_bytes()),
                    _ => None,
                };
                let to = number(attributes, 1).map_or(Register::Reg1, Register::from);
                self.load(to, value.as_ref().map(|bytes| &bytes[..]), 4);
                Said::Next
            }
            _ => Said::NoMatch,
        }
    }

    fn load(&mut self, to: Register, value: Option<&[u8]>, len: usize) {
        for (at, byte) in self.bytes.iter_mut().skip(place(to)).take(len).enumerate() {
            *byte = value.map(|value| value.get(at).copied().unwrap_or(0));
        }
    }

    fn read(&self, from: Register, len: usize) -> Option<Vec<u8>> {
        self.bytes.iter().skip(place(from)).take(len).copied().collect()
    }

    fn meta(&mut self, parts: &[Meta]) -> Said {
        let (mut key, mut to) = (None, Register::Reg1);
        for part in parts {
            match part {
                Meta::Key(asked) => key = Some(*asked),
                Meta::DestinationRegister(register) => to = *register,
                // A mark, or alike, is set.
                Meta::SourceRegister(_) => return Said::Next,
                _ => {}
            }
        }
        let packet = self.packet;
        let value = match key {
            Some(MetaKey::Iifname) => Some(link_name(&packet.iif.0).to_vec()),
            Some(MetaKey::Oifname) => Some(link_name(&packet.oif.0).to_vec()),
            Some(MetaKey::Iif) => Some(packet.iif.1.to_ne_bytes().to_vec()),
            Some(MetaKey::Oif) => Some(packet.oif.1.to_ne_bytes().to_vec()),
            Some(MetaKey::Nfproto) => Some(vec![if packet.v4 { 2 } else { 10 }]),
            Some(MetaKey::L4Proto) => Some(vec![6]),
            _ => None,
        };
        let len = value.as_ref().map_or(16, |value| value.len().next_multiple_of(4));
        self.load(to, value.as_deref(), len);
        Said::Next
    }

    /// Of the packet itself only its addresses are known.
    fn payload(&mut self, parts: &[Payload]) -> Said {
        let (mut to, mut base, mut offset, mut len) = (Register::Reg1, 0, 0, 0);
        for part in parts {
            match part {
                Payload::DestinationRegister(register) => to = *register,
                Payload::Base(value) => base = *value,
                Payload::Offset(value) => offset = *value as usize,
                Payload::Len(value) => len = *value as usize,
                _ => {}
            }
        }
        let (from, dest, size) = if self.packet.v4 { (12, 16, 4) } else { (8, 24, 16) };
        let address = match offset {
            at if base == 1 && (from..from + size).contains(&at) => self.packet.from,
            at if base == 1 && (dest..dest + size).contains(&at) => self.packet.to,
            _ => None,
        };
        let bytes = address.map(|address| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        });
        let start = if offset >= dest { offset - dest } else { offset.saturating_sub(from) };
        let value = bytes.as_ref().and_then(|bytes| bytes.get(start..start + len));
        self.load(to, value, len.next_multiple_of(4));
        Said::Next
    }

    fn bitwise(&mut self, parts: &[Bitwise]) -> Said {
        let (mut from, mut to, mut mask, mut xor) = (Register::Reg1, Register::Reg1, None, None);
        for part in parts {
            match part {
                Bitwise::SourceRegister(register) => from = *register,
                Bitwise::DestinationRegister(register) => to = *register,
                Bitwise::Mask(DataAttribute::Value(value)) => mask = Some(value),
                Bitwise::Xor(DataAttribute::Value(value)) => xor = Some(value),
                _ => {}
            }
        }
        let (Some(mask), Some(xor)) = (mask, xor) else { return Said::NoMatch };
        let value = self.read(from, mask.len()).map(|value| {
            let bits = value.iter().zip(mask).zip(xor);
            bits.map(|((byte, mask), xor)| byte & mask ^ xor).collect::<Vec<u8>>()
        });
        self.load(to, value.as_deref(), mask.len());
        Said::Next
    }

    fn cmp(&self, parts: &[Cmp]) -> Said {
        let (mut from, mut operator, mut with) = (Register::Reg1, Operator::Equal, None);
        for part in parts {
            match part {
                Cmp::SourceRegister(register) => from = *register,
                Cmp::Op(asked) => operator = *asked,
                Cmp::Data(DataAttribute::Value(value)) => with = Some(value),
                _ => {}
            }
        }
        let Some(with) = with else { return Said::NoMatch };
        let equal = self.read(from, with.len()).map(|value| value == *with);
        match (operator, equal) {
            (Operator::Equal, Some(true)) | (Operator::NotEqual, Some(false)) => Said::Next,
            _ => Said::NoMatch,
        }
    }

    fn lookup(&mut self, parts: &[Lookup], chains: &Chains) -> Said {
        let (mut set, mut from, mut to, mut inverted) = ("", Register::Reg1, None, false);
        for part in parts {
            match part {
                Lookup::Set(name) => set = name,
                Lookup::SourceRegister(register) => from = *register,
                Lookup::DestinationRegister(register) => to = Some(*register),
                Lookup::Flags(flags) => inverted = flags & 1 == 1,
                _ => {}
            }
        }
        let Some(members) = chains.members(set) else { return Said::NoMatch };
        let Some(len) = members.first().map(|member| member.key.len()) else {
            return if inverted { Said::Next } else { Said::NoMatch };
        };
        let Some(key) = self.read(from, len) else { return Said::NoMatch };
        match (found(members, &key), to) {
            (Some(_), None) if !inverted => Said::Next,
            (None, None) if inverted => Said::Next,
            (Some(Member { data: Some(DataAttribute::Verdict(verdict)), .. }), Some(_)) => {
                said(verdict)
            }
            _ => Said::NoMatch,
        }
    }
}

fn immediate(parts: &[Immediate]) -> Said {
    let verdict = parts.iter().find_map(|part| match part {
        Immediate::Data(DataAttribute::Verdict(parts)) => Some(parts),
        _ => None,
    });
    // What is loaded else is for marks and alike.
    verdict.map_or(Said::Next, |verdict| said(verdict))
}

fn said(parts: &[VerdictAttribute]) -> Said {
    let chain = parts.iter().find_map(|part| match part {
        VerdictAttribute::Chain(name) => Some(name.clone()),
        _ => None,
    });
    let code = parts.iter().find_map(|part| match part {
        VerdictAttribute::Code(Verdict::Continue) => None,
        VerdictAttribute::Code(code) => Some(*code),
        _ => None,
    });
    code.map_or(Said::Next, |code| Said::Verdict(code, chain.unwrap_or_default()))
}
