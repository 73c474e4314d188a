//! Catalogue: not needed to understand the chapter.
//!
//! The instructions of the kernel's rule machine: each works on register 1 where nothing
//! else is said.

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute,
    Lookup, Meta, MetaKey, Operator, Payload, Register, Verdict, VerdictAttribute,
};

/// An instruction.
pub type Expression = ListAttribute<ExpressionAttribute>;

/// A word of a rule: some instructions.
pub type Word = Vec<Expression>;

pub(super) fn meta(key: MetaKey, to: Register) -> Expression {
    Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(to)]).into()
}

pub(super) fn cmp(operator: Operator, with: &[u8]) -> Expression {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(operator),
        Cmp::Data(DataAttribute::Value(with.to_vec())),
    ])
    .into()
}

/// Register 1, of which only the bits of the mask stay.
pub(super) fn and(mask: &[u8]) -> Expression {
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(Register::Reg1),
        Bitwise::DestinationRegister(Register::Reg1),
        Bitwise::Length(mask.len() as u32),
        Bitwise::Mask(DataAttribute::Value(mask.to_vec())),
        Bitwise::Xor(DataAttribute::Value(vec![0; mask.len()])),
    ])
    .into()
}

pub(super) fn lookup(set: &str, to: Option<Register>, inverted: bool) -> Expression {
    let mut parts = vec![Lookup::Set(set.into()), Lookup::SourceRegister(Register::Reg1)];
    parts.extend(to.map(Lookup::DestinationRegister));
    // NFT_LOOKUP_F_INV.
    parts.extend(inverted.then_some(Lookup::Flags(1)));
    Expressions::Lookup(parts).into()
}

/// Bytes of the header of IP.
pub(super) fn network(offset: u32, len: u32, to: Register) -> Expression {
    payload(1, offset, len, to)
}

/// The destination port, which TCP and UDP have in the same place.
pub(super) fn to_port(to: Register) -> Expression {
    payload(2, 2, 2, to)
}

fn payload(base: u32, offset: u32, len: u32, to: Register) -> Expression {
    Expressions::Payload(vec![
        Payload::DestinationRegister(to),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(len),
    ])
    .into()
}

pub(super) fn verdict(code: Verdict, chain: Option<&str>) -> Word {
    let mut parts = vec![VerdictAttribute::Code(code)];
    parts.extend(chain.map(|chain| VerdictAttribute::Chain(chain.into())));
    let immediate = vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(parts)),
    ];
    vec![Expressions::Immediate(immediate).into()]
}

/// An expression that has no type of its own, with attributes of 32 bits in network order.
pub(super) fn other(name: &str, attributes: &[(u16, u32)]) -> Expression {
    let attribute =
        |(kind, value): &(u16, u32)| DefaultNla::new(*kind, value.to_be_bytes().to_vec());
    Expressions::Other {
        expression_type: name.into(),
        attributes: attributes.iter().map(attribute).collect(),
    }
    .into()
}
