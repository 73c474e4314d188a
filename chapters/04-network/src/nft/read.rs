//! Catalogue: not needed to understand the chapter.
//!
//! What the kernel has: tables, rules and elements, as text like that of `nft list table`.

use ch01_clone::Result;
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, NfTablesMessage, RuleAttribute, RuleMessage, SetElementAttribute,
    SetElementList, SetElementMessage, TableAttribute, TableMessage,
};
use netlink_packet_netfilter::{NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};

use super::set::Set;
use super::socket::Socket;
use super::text::{elements, rule};

/// A rule that the kernel has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its chain.
    pub chain: String,
    /// What it says, in the words of nft(8).
    pub text: String,
    /// Why.
    pub comment: String,
}

impl Socket {
    fn list(&self, question: NfTablesMessage) -> Result<Vec<NfTablesMessage>> {
        let of_nftables = |message: NetfilterMessage| match message.inner {
            NetfilterMessageInner::NfTables(message) => Some(message),
            _ => None,
        };
        let found = self.dump(NetfilterProtoFamily::Inet, question)?;
        Ok(found.into_iter().filter_map(of_nftables).collect())
    }

    /// The names of all `inet` tables.
    pub fn tables(&self) -> Result<Vec<String>> {
        let all = NfTablesMessage::GetTable(TableMessage { attributes: vec![] });
        let name = |message| {
            let NfTablesMessage::NewTable(table) = message else { return None };
            table.attributes.into_iter().find_map(|attribute| match attribute {
                TableAttribute::Name(name) => Some(name),
                _ => None,
            })
        };
        Ok(self.list(all)?.into_iter().filter_map(name).collect())
    }

    /// The rules of a table, in their order; none where there is no such table.
    pub fn rules(&self, table: &str) -> Result<Vec<Rule>> {
        let attributes = vec![RuleAttribute::Table(table.into())];
        let all = self.list(NfTablesMessage::GetRule(RuleMessage { attributes }))?;
        Ok(all.into_iter().filter_map(|message| of_table(table, message)).collect())
    }

    /// The elements of a set: `tcp . 8080 : 172.17.0.2 . 80`. ENOENT: there is none.
    pub fn elements(&self, table: &str, set: &Set) -> Result<Vec<String>> {
        let attributes =
            vec![SetElementList::Table(table.into()), SetElementList::Set(set.name.into())];
        let all = self.list(NfTablesMessage::GetSetElement(SetElementMessage { attributes }))?;
        let mut texts = Vec::new();
        for message in all {
            let NfTablesMessage::NewSetElement(list) = message else { continue };
            for attribute in list.attributes {
                let SetElementList::Elements(some) = attribute else { continue };
                texts.extend(some.iter().filter_map(|element| of_set(set, element)));
            }
        }
        texts.sort();
        Ok(texts)
    }
}

fn of_table(wanted: &str, message: NfTablesMessage) -> Option<Rule> {
    let NfTablesMessage::NewRule(message) = message else { return None };
    let mut found = Rule { chain: String::new(), text: String::new(), comment: String::new() };
    for attribute in message.attributes {
        match attribute {
            // Kernels before 5.18 tell of all tables.
            RuleAttribute::Table(table) if table != wanted => return None,
            RuleAttribute::Chain(chain) => found.chain = chain,
            RuleAttribute::Expressions(expressions) => found.text = rule(&expressions),
            // Kind, length, text, zero.
            RuleAttribute::UserData(note) if note.first() == Some(&0) => {
                let text = note.get(2..note.len().saturating_sub(1)).unwrap_or_default();
                found.comment = String::from_utf8_lossy(text).into_owned();
            }
            _ => {}
        }
    }
    Some(found)
}

fn of_set(set: &Set, element: &ListAttribute<SetElementAttribute>) -> Option<String> {
    let ListAttribute::Element(parts) = element else { return None };
    let (mut key, mut data) = (None, None);
    for part in parts {
        match part {
            SetElementAttribute::Key(DataAttribute::Value(bytes)) => key = Some(bytes),
            SetElementAttribute::Data(DataAttribute::Value(bytes)) => data = Some(bytes),
            _ => {}
        }
    }
    let key = elements(set.key, key?);
    Some(match data {
        Some(data) => format!("{key} : {}", elements(set.data, data)),
        None => key,
    })
}
