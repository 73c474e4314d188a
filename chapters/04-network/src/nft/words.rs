//! Catalogue: not needed to understand the chapter.
//!
//! The words of a rule. Each is what `nft --debug=netlink` shows for it: a packet's
//! property is loaded into a register, and the register is compared, looked up or used.

use netlink_packet_netfilter::nftables::{MetaKey, Operator, Register, Verdict};

use super::expressions::{Word, and, cmp, lookup, meta, network, other, to_port, verdict};
use super::set::link_name;

/// What is asked of a link.
#[derive(Debug, Clone, Copy)]
pub enum Link<'a> {
    /// To be in a set.
    In(&'a str),
    /// Not to be in it.
    NotIn(&'a str),
    /// To have a name.
    Named(&'a str),
    /// To have another name.
    NotNamed(&'a str),
    /// To have a name that begins so.
    Begins(&'a str),
}

/// `iifname …`: the link by which the packet came.
pub fn iif(asked: Link) -> Word {
    link(MetaKey::Iifname, asked)
}

/// `oifname …`: the link by which it leaves.
pub fn oif(asked: Link) -> Word {
    link(MetaKey::Oifname, asked)
}

fn link(side: MetaKey, asked: Link) -> Word {
    let test = match asked {
        Link::In(set) => lookup(set, None, false),
        Link::NotIn(set) => lookup(set, None, true),
        Link::Named(name) => cmp(Operator::Equal, &link_name(name)),
        Link::NotNamed(name) => cmp(Operator::NotEqual, &link_name(name)),
        Link::Begins(name) => cmp(Operator::Equal, name.as_bytes()),
    };
    vec![meta(side, Register::Reg1), test]
}

/// `meta iifkind "bridge"`: it came by a bridge (`struct rtnl_link_ops`).
pub fn iif_is_bridge() -> Word {
    vec![meta(MetaKey::Iifkind, Register::Reg1), cmp(Operator::Equal, &link_name("bridge"))]
}

/// `meta oifkind "bridge"`: it leaves by a bridge.
pub fn oif_is_bridge() -> Word {
    vec![meta(MetaKey::Oifkind, Register::Reg1), cmp(Operator::Equal, &link_name("bridge"))]
}

/// `iifname . oifname @set`: both links together are in the set.
pub fn iif_and_oif_in(set: &str) -> Word {
    vec![
        meta(MetaKey::Iifname, Register::Reg1),
        meta(MetaKey::Oifname, Register::Reg2),
        lookup(set, None, false),
    ]
}

/// Which Internet Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// `meta nfproto …`.
pub fn family(family: Family) -> Word {
    let number = match family {
        Family::V4 => 2,
        Family::V6 => 10,
    };
    vec![meta(MetaKey::Nfproto, Register::Reg1), cmp(Operator::Equal, &[number])]
}

/// `ip saddr 127.0.0.0/8`: from loopback.
pub fn from_127() -> Word {
    loopback(12)
}

/// `ip daddr 127.0.0.0/8`: to loopback.
pub fn to_127() -> Word {
    loopback(16)
}

fn loopback(offset: u32) -> Word {
    let mut word = family(Family::V4);
    word.extend([network(offset, 1, Register::Reg1), cmp(Operator::Equal, &[127])]);
    word
}

/// `ip6 daddr != ::1`: to anything of IPv6 but loopback.
pub fn v6_not_to_localhost() -> Word {
    let mut word = family(Family::V6);
    let one = std::net::Ipv6Addr::LOCALHOST.octets();
    word.extend([network(24, 16, Register::Reg1), cmp(Operator::NotEqual, &one)]);
    word
}

/// `ip6 saddr fc00::/7`: from addresses that nobody outside knows (RFC 4193).
pub fn from_local_v6() -> Word {
    let mut word = family(Family::V6);
    let mut mask = [0; 16];
    mask[0] = 0xfe;
    let mut prefix = [0; 16];
    prefix[0] = 0xfc;
    word.extend([network(8, 16, Register::Reg1), and(&mask), cmp(Operator::Equal, &prefix)]);
    word
}

/// `fib daddr type local`: to an address of this host.
pub fn to_this_host() -> Word {
    // enum nft_fib_flags: NFTA_FIB_F_DADDR; enum nft_fib_result: NFT_FIB_RESULT_ADDRTYPE.
    let fib = other("fib", &[(1, 1), (2, 3), (3, 2)]);
    vec![fib, cmp(Operator::Equal, &RTN_LOCAL.to_ne_bytes())]
}

/// An address of the host itself (rtnetlink(7)).
const RTN_LOCAL: u32 = 2;

/// `ct state established,related`: an answer, or an error about what is known.
pub fn known() -> Word {
    // NFT_CT_STATE; NF_CT_STATE_BIT(IP_CT_ESTABLISHED | IP_CT_RELATED).
    ct(0, 0x02 | 0x04)
}

/// `ct status dnat`: its destination was changed on the way.
pub fn redirected() -> Word {
    // NFT_CT_STATUS; IPS_DST_NAT.
    ct(2, 0x20)
}

fn ct(key: u32, bits: u32) -> Word {
    let load = other("ct", &[(1, 1), (2, key)]);
    vec![load, and(&bits.to_ne_bytes()), cmp(Operator::NotEqual, &[0; 4])]
}

/// `accept`: this chain has no more to say.
pub fn accept() -> Word {
    verdict(Verdict::Other(1), None)
}

/// `drop`.
pub fn drop() -> Word {
    verdict(Verdict::Other(0), None)
}

/// `return`: back to the chain that sent it here.
pub fn back() -> Word {
    verdict(Verdict::Return, None)
}

/// `jump CHAIN`.
pub fn jump(chain: &str) -> Word {
    verdict(Verdict::Jump, Some(chain))
}

/// `masquerade`: with the address of the link by which it leaves as its source.
pub fn masquerade() -> Word {
    vec![other("masq", &[])]
}

/// `dnat ip to meta l4proto . ip daddr . th dport map @MAP`: to where the map says; a packet
/// that it does not know goes on to the next rule.
pub fn dnat_by_address(to: Family, map: &str) -> Word {
    let (offset, len, port) = match to {
        Family::V4 => (16, 4, Register::Reg32_02),
        Family::V6 => (24, 16, Register::Reg32_05),
    };
    dnat(to, map, vec![network(offset, len, Register::Reg32_01), to_port(port)])
}

/// `dnat ip to meta l4proto . th dport map @MAP`: the same for whatever address.
pub fn dnat_by_port(to: Family, map: &str) -> Word {
    dnat(to, map, vec![to_port(Register::Reg32_01)])
}

fn dnat(to: Family, map: &str, key: Word) -> Word {
    let (number, port) = match to {
        Family::V4 => (2, Register::Reg32_01),
        Family::V6 => (10, Register::Reg2),
    };
    let mut word = family(to);
    word.push(meta(MetaKey::L4Proto, Register::Reg1));
    word.extend(key);
    word.push(lookup(map, Some(Register::Reg1), false));
    // NFTA_NAT_TYPE (NFT_NAT_DNAT), _FAMILY, _REG_ADDR_MIN, _REG_PROTO_MIN.
    word.push(other("nat", &[(1, 1), (2, number), (3, 1), (5, port.into())]));
    word
}
