//! Catalogue: not needed to understand the chapter.
//!
//! The rules of others that a packet has to pass: those at the hook `forward`.

use ch01_clone::Result;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook, HookNumber, InetHookNumber, NfTablesMessage, RuleAttribute,
    RuleMessage, SetElementList, SetElementMessage,
};
use netlink_packet_netfilter::{NetfilterMessageInner, NetfilterProtoFamily};

use super::chains::{Chains, Member, member, read_rule, sets_of};
use super::play::{Packet, play};
use super::socket::Socket;

/// Where somebody's rules drop a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The chain.
    pub chain: String,
    /// Its rule, in the words of nft(8) as far as we know them; or `policy drop`.
    pub rule: String,
}

/// Somebody's table with a chain at the hook `forward`.
#[derive(Debug, Clone)]
pub struct Table {
    /// `ip`, `ip6` or `inet`.
    pub family: &'static str,
    /// Its name.
    pub name: String,
    /// Its chains at the hook, by their priority.
    pub bases: Vec<String>,
    chains: Chains,
}

impl Table {
    /// Whether it has a chain of this name.
    pub fn has(&self, chain: &str) -> bool {
        self.chains.rules.contains_key(chain)
    }

    /// Where it drops this packet, and at which of its chains the packet was asked in.
    pub fn stops(&self, packet: &Packet) -> Option<(&str, Stop)> {
        let other = if packet.v4 { "ip6" } else { "ip" };
        let mut bases = self.bases.iter().filter(|_| self.family != other);
        bases.find_map(|base| Some((base.as_str(), play(&self.chains, base, packet)?)))
    }
}

/// What the kernel says of a chain.
struct Chain {
    family: NetfilterProtoFamily,
    table: String,
    name: String,
    hook: Option<i32>,
    drops: bool,
}

impl Socket {
    /// All tables with a chain at the hook `forward`, but for those that are `ours`.
    pub fn others(&self, ours: impl Fn(&str) -> bool) -> Result<Vec<Table>> {
        let mut chains = self.chains()?;
        chains.retain(|chain| !ours(&chain.table));
        chains.sort_by_key(|chain| chain.hook);
        let mut tables: Vec<Table> = Vec::new();
        for chain in chains.iter().filter(|chain| chain.hook.is_some()) {
            let Some(family) = family_name(chain.family) else { continue };
            match tables.iter_mut().find(|t| (t.family, &t.name) == (family, &chain.table)) {
                Some(table) => table.bases.push(chain.name.clone()),
                None => {
                    let bases = vec![chain.name.clone()];
                    let read = self.table(chain.family, &chain.table, &chains)?;
                    tables.push(Table { family, name: chain.table.clone(), bases, chains: read });
                }
            }
        }
        Ok(tables)
    }

    fn chains(&self) -> Result<Vec<Chain>> {
        let all = NfTablesMessage::GetChain(ChainMessage { attributes: vec![] });
        let found = self.dump(NetfilterProtoFamily::Unspec, all)?;
        let chain = |message| match message {
            NetfilterMessageInner::NfTables(NfTablesMessage::NewChain(chain)) => Some(chain),
            _ => None,
        };
        let all = found.into_iter().filter_map(|message| {
            let family = message.header.family;
            chain(message.inner).map(|chain| read_chain(family, chain))
        });
        Ok(all.collect())
    }

    fn table(&self, family: NetfilterProtoFamily, name: &str, all: &[Chain]) -> Result<Chains> {
        let mut chains = Chains::default();
        for chain in all.iter().filter(|c| (c.family, c.table.as_str()) == (family, name)) {
            chains.rules.insert(chain.name.clone(), Vec::new());
            if chain.drops {
                chains.drops.insert(chain.name.clone());
            }
        }
        let attributes = vec![RuleAttribute::Table(name.into())];
        let question = NfTablesMessage::GetRule(RuleMessage { attributes });
        for message in self.dump(family, question)? {
            let NetfilterMessageInner::NfTables(NfTablesMessage::NewRule(rule)) = message.inner
            else {
                continue;
            };
            let Some((chain, rule)) = read_rule(name, rule) else { continue };
            for set in sets_of(&rule.expressions) {
                if let Some(members) = self.members(family, name, &set)? {
                    chains.sets.insert(set, members);
                }
            }
            chains.rules.entry(chain).or_default().push(rule);
        }
        Ok(chains)
    }

    fn members(
        &self,
        family: NetfilterProtoFamily,
        table: &str,
        set: &str,
    ) -> Result<Option<Vec<Member>>> {
        let attributes = vec![SetElementList::Table(table.into()), SetElementList::Set(set.into())];
        let question = NfTablesMessage::GetSetElement(SetElementMessage { attributes });
        let mut members = Vec::new();
        for message in self.dump(family, question)? {
            let NetfilterMessageInner::NfTables(NfTablesMessage::NewSetElement(list)) =
                message.inner
            else {
                continue;
            };
            for attribute in list.attributes {
                let SetElementList::Elements(some) = attribute else { continue };
                for element in &some {
                    match member(element) {
                        Some(member) => members.push(member),
                        None => return Ok(None),
                    }
                }
            }
        }
        Ok(Some(members))
    }
}

fn family_name(family: NetfilterProtoFamily) -> Option<&'static str> {
    match family {
        NetfilterProtoFamily::IPv4 => Some("ip"),
        NetfilterProtoFamily::IPv6 => Some("ip6"),
        NetfilterProtoFamily::Inet => Some("inet"),
        _ => None,
    }
}

fn read_chain(family: NetfilterProtoFamily, message: ChainMessage) -> Chain {
    let mut chain =
        Chain { family, table: String::new(), name: String::new(), hook: None, drops: false };
    for attribute in message.attributes {
        match attribute {
            ChainAttribute::Table(table) => chain.table = table,
            ChainAttribute::Name(name) => chain.name = name,
            // NF_DROP.
            ChainAttribute::Policy(policy) => chain.drops = policy == 0,
            ChainAttribute::Hook(parts) => {
                let (mut forward, mut at) = (false, 0);
                for part in parts {
                    match part {
                        Hook::Number(number) => {
                            forward = number == HookNumber::Inet(InetHookNumber::Forward);
                        }
                        Hook::Priority(priority) => at = priority as i32,
                        _ => {}
                    }
                }
                chain.hook = forward.then_some(at);
            }
            _ => {}
        }
    }
    chain
}
