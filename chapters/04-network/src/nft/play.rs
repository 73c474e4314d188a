//! Catalogue: not needed to understand the chapter.
//!
//! A packet is played through somebody's rules, as the kernel would do it. What is not known
//! of the packet, or of an instruction, lets no rule match.

use std::net::IpAddr;

use netlink_packet_netfilter::nftables::Verdict;

use super::chains::Chains;
use super::others::Stop;
use super::registers::{Registers, Said};
use super::text::rule as text_of;

/// The first packet of a connection, on its way through.
#[derive(Debug, Clone)]
pub struct Packet {
    /// The link by which it came: its name and number.
    pub iif: (String, u32),
    /// The link by which it goes on.
    pub oif: (String, u32),
    /// Where it comes from, if that is known.
    pub from: Option<IpAddr>,
    /// Where it goes to.
    pub to: Option<IpAddr>,
    /// Whether it is of IPv4; else of IPv6.
    pub v4: bool,
    /// Whether its destination was changed: it goes to a published port.
    pub redirected: bool,
}

/// So deep may chains call each other (NFT_JUMP_STACK_SIZE).
const DEPTH: usize = 16;

/// What a rule, or a whole chain, makes of the packet.
enum Fate {
    /// It is asked on.
    GoesOn,
    /// No other rule of this base chain is asked.
    Accepted,
    Dropped(Stop),
}

/// Where the rules of a base chain drop the packet, if they do.
pub(super) fn play(chains: &Chains, base: &str, packet: &Packet) -> Option<Stop> {
    match chain(chains, base, packet, 0) {
        Fate::Dropped(stop) => Some(stop),
        Fate::Accepted => None,
        Fate::GoesOn => chains
            .drops_by_policy(base)
            .then(|| Stop { chain: base.into(), rule: "policy drop".into() }),
    }
}

fn chain(chains: &Chains, name: &str, packet: &Packet, depth: usize) -> Fate {
    if depth > DEPTH {
        return Fate::GoesOn;
    }
    for rule in chains.rules(name) {
        let stop = || Stop { chain: name.into(), rule: text_of(&rule.expressions) };
        match Registers::new(packet).run(&rule.expressions, chains) {
            Said::Next | Said::NoMatch => {}
            Said::Reject | Said::Verdict(Verdict::Other(0), _) => return Fate::Dropped(stop()),
            Said::Verdict(Verdict::Return, _) => return Fate::GoesOn,
            Said::Verdict(Verdict::Jump, to) => match chain(chains, &to, packet, depth + 1) {
                Fate::GoesOn => {}
                fate => return fate,
            },
            Said::Verdict(Verdict::Goto, to) => return chain(chains, &to, packet, depth + 1),
            Said::Verdict(..) => return Fate::Accepted,
        }
    }
    Fate::GoesOn
}
