//! Catalogue: not needed to understand the chapter.
//!
//! What somebody's table consists of, as far as it is asked here: chains of rules, and sets.

use std::collections::{BTreeMap, BTreeSet};

use netlink_packet_netfilter::nftables::{
    DataAttribute, ExpressionAttribute, Expressions, ListAttribute, Lookup, RuleAttribute,
    RuleMessage, SetElementAttribute, SetElementFlags,
};

use super::expressions::Expression;

/// The chains of a table, and the sets that they speak of.
#[derive(Debug, Clone, Default)]
pub(super) struct Chains {
    pub rules: BTreeMap<String, Vec<Rule>>,
    pub drops: BTreeSet<String>,
    pub sets: BTreeMap<String, Vec<Member>>,
}

#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub expressions: Vec<Expression>,
}

/// A member of a set.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub key: Vec<u8>,
    pub data: Option<DataAttribute>,
    /// Whether an interval ends before it.
    pub ends: bool,
}

impl Chains {
    pub fn rules(&self, chain: &str) -> &[Rule] {
        self.rules.get(chain).map_or(&[], |rules| rules)
    }

    pub fn drops_by_policy(&self, chain: &str) -> bool {
        self.drops.contains(chain)
    }

    /// `None`: it is of a kind that is not read here.
    pub fn members(&self, set: &str) -> Option<&[Member]> {
        self.sets.get(set).map(|members| &members[..])
    }
}

/// The member with this key, or with this key in its interval: from its own to the next.
pub(super) fn found<'a>(members: &'a [Member], key: &[u8]) -> Option<&'a Member> {
    let intervals = members.iter().any(|member| member.ends);
    match intervals {
        false => members.iter().find(|member| member.key == key),
        true => {
            let below = members.iter().filter(|member| member.key.as_slice() <= key);
            below.max_by(|a, b| a.key.cmp(&b.key)).filter(|member| !member.ends)
        }
    }
}

/// The sets of which a rule speaks.
pub(super) fn sets_of(expressions: &[Expression]) -> Vec<String> {
    let mut sets = Vec::new();
    for expression in expressions {
        let ListAttribute::Element(parts) = expression else { continue };
        for part in parts {
            let ExpressionAttribute::Data(Expressions::Lookup(parts)) = part else { continue };
            sets.extend(parts.iter().filter_map(|part| match part {
                Lookup::Set(name) => Some(name.clone()),
                _ => None,
            }));
        }
    }
    sets
}

pub(super) fn read_rule(wanted: &str, message: RuleMessage) -> Option<(String, Rule)> {
    let (mut chain, mut expressions) = (String::new(), Vec::new());
    for attribute in message.attributes {
        match attribute {
            // Kernels before 5.18 tell of all tables.
            RuleAttribute::Table(table) if table != wanted => return None,
            RuleAttribute::Chain(name) => chain = name,
            RuleAttribute::Expressions(some) => expressions = some,
            _ => {}
        }
    }
    Some((chain, Rule { expressions }))
}

/// `None`: one of a kind that is not read here.
pub(super) fn member(element: &ListAttribute<SetElementAttribute>) -> Option<Member> {
    let ListAttribute::Element(parts) = element else { return None };
    let (mut key, mut data, mut ends) = (None, None, false);
    for part in parts {
        match part {
            SetElementAttribute::Key(DataAttribute::Value(bytes)) => key = Some(bytes.clone()),
            SetElementAttribute::Data(value) => data = Some(value.clone()),
            SetElementAttribute::Flags(flags) => {
                ends = flags.contains(SetElementFlags::IntervalEnd);
            }
            SetElementAttribute::KeyEnd(_) => return None,
            _ => {}
        }
    }
    Some(Member { key: key?, data, ends })
}
