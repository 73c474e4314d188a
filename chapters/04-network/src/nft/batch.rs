//! Catalogue: not needed to understand the chapter.
//!
//! A batch: changes of one table that the kernel makes together or not at all.

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, DataAttribute, Hook as HookAttribute, InetHookNumber,
    ListAttribute, NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute, SetElementAttribute,
    SetElementList, SetElementMessage, SetFlags, SetMessage, TableAttribute, TableMessage,
};

use super::expressions::Word;
use super::set::{Element, Kind, Set, len_of, type_of};

/// Where in a packet's way through the kernel a chain is asked.
#[derive(Debug, Clone, Copy)]
pub enum Hook {
    /// Come in, before anything else: `filter`, priority `raw`.
    Raw,
    /// Come in, before it is known where it goes: `nat`.
    PreRouting,
    /// Sent by the host itself: `nat`.
    Output,
    /// On its way through: `filter`.
    Forward,
    /// About to leave: `nat`.
    PostRouting,
}

/// The changes, each with what to call it when it is refused.
#[derive(Debug)]
pub struct Batch {
    table: String,
    pub(super) changes: Vec<Change>,
}

/// A message of the batch.
#[derive(Debug)]
pub(super) struct Change {
    pub what: String,
    pub flags: u16,
    pub message: NfTablesMessage,
}

/// As many elements go in one message: an attribute ends at 64 KiB.
const ELEMENTS: usize = 400;

impl Batch {
    /// No change yet of the `inet` table of this name.
    pub fn new(table: &str) -> Batch {
        Batch { table: table.into(), changes: Vec::new() }
    }

    fn push(&mut self, what: String, flags: u16, message: NfTablesMessage) {
        self.changes.push(Change { what, flags, message });
    }

    /// `add table`: it is there afterwards.
    pub fn add_table(&mut self, comment: &str) {
        let attributes = vec![
            TableAttribute::Name(self.table.clone()),
            TableAttribute::UserData(note(0, comment)),
        ];
        let message = NfTablesMessage::NewTable(TableMessage { attributes });
        self.push("add table".into(), NLM_F_CREATE, message);
    }

    /// `delete table`, with all that is in it; it has to be there.
    pub fn delete_table(&mut self) {
        let attributes = vec![TableAttribute::Name(self.table.clone())];
        let message = NfTablesMessage::DeleteTable(TableMessage { attributes });
        self.push("delete table".into(), 0, message);
    }

    /// `add set` or `add map`.
    pub fn add_set(&mut self, id: u32, set: &Set) {
        let mut attributes = vec![
            SetAttribute::Table(self.table.clone()),
            SetAttribute::Name(set.name.into()),
            SetAttribute::Flags(if set.data.is_empty() {
                SetFlags::empty()
            } else {
                SetFlags::Map
            }),
            SetAttribute::KeyType(type_of(set.key)),
            SetAttribute::KeyLen(len_of(set.key)),
        ];
        if !set.data.is_empty() {
            attributes.push(SetAttribute::DataType(type_of(set.data)));
            attributes.push(SetAttribute::DataLen(len_of(set.data)));
        }
        attributes.push(SetAttribute::Id(id));
        // For `nft list`: the key's order of bytes (NFTNL_UDATA_SET_KEYBYTEORDER; names of
        // links are in the host's), and the comment (NFTNL_UDATA_SET_COMMENT).
        let order: u32 = (set.key == [Kind::Link]).into();
        let mut userdata = vec![0, 4];
        userdata.extend(order.to_ne_bytes());
        userdata.extend(note(7, set.comment));
        attributes.push(SetAttribute::UserData(userdata));
        let message = NfTablesMessage::NewSet(SetMessage { attributes });
        self.push(format!("add set {}", set.name), NLM_F_CREATE, message);
    }

    /// `add chain`, asked at a hook, or by other chains only.
    pub fn add_chain(&mut self, name: &str, hook: Option<Hook>) {
        let mut attributes =
            vec![ChainAttribute::Table(self.table.clone()), ChainAttribute::Name(name.into())];
        if let Some(hook) = hook {
            let (kind, number, priority) = match hook {
                Hook::Raw => ("filter", InetHookNumber::PreRouting, -300),
                Hook::PreRouting => ("nat", InetHookNumber::PreRouting, -100),
                Hook::Output => ("nat", InetHookNumber::LocalOut, -100),
                Hook::Forward => ("filter", InetHookNumber::Forward, 0i32),
                Hook::PostRouting => ("nat", InetHookNumber::PostRouting, 100),
            };
            attributes.push(ChainAttribute::Type(kind.into()));
            // NF_ACCEPT: what no rule takes goes on.
            attributes.push(ChainAttribute::Policy(1));
            attributes.push(ChainAttribute::Hook(vec![
                HookAttribute::Number(number.into()),
                HookAttribute::Priority(priority as u32),
            ]));
        }
        let message = NfTablesMessage::NewChain(ChainMessage { attributes });
        self.push(format!("add chain {name}"), NLM_F_CREATE, message);
    }

    /// `add rule`: as the last one of its chain.
    pub fn add_rule(&mut self, chain: &str, comment: &str, words: impl IntoIterator<Item = Word>) {
        let mut attributes = vec![
            RuleAttribute::Table(self.table.clone()),
            RuleAttribute::Chain(chain.into()),
            RuleAttribute::Expressions(words.into_iter().flatten().collect()),
        ];
        if !comment.is_empty() {
            attributes.push(RuleAttribute::UserData(note(0, comment)));
        }
        let message = NfTablesMessage::NewRule(RuleMessage { attributes });
        self.push(format!("add rule to {chain} ({comment})"), NLM_F_CREATE | NLM_F_APPEND, message);
    }

    /// `add element`: they are there afterwards. An entry of a map that is there with
    /// other data is EEXIST or EBUSY.
    pub fn add(&mut self, elements: &[Element]) {
        self.elements("add element of", NLM_F_CREATE, elements, NfTablesMessage::NewSetElement);
    }

    /// `delete element`: they have to be there.
    pub fn delete(&mut self, elements: &[Element]) {
        self.elements("delete element of", 0, elements, NfTablesMessage::DeleteSetElement);
    }

    fn elements(
        &mut self,
        what: &str,
        flags: u16,
        elements: &[Element],
        message: fn(SetElementMessage) -> NfTablesMessage,
    ) {
        for same in elements.chunk_by(|one, next| one.set == next.set) {
            for some in same.chunks(ELEMENTS) {
                let attributes = vec![
                    SetElementList::Table(self.table.clone()),
                    SetElementList::Set(some[0].set.into()),
                    SetElementList::Elements(some.iter().map(element).collect()),
                ];
                let change = message(SetElementMessage { attributes });
                self.push(format!("{what} {}", some[0].set), flags, change);
            }
        }
    }
}

fn element(element: &Element) -> ListAttribute<SetElementAttribute> {
    let mut parts = vec![SetElementAttribute::Key(DataAttribute::Value(element.key.clone()))];
    if !element.data.is_empty() {
        parts.push(SetElementAttribute::Data(DataAttribute::Value(element.data.clone())));
    }
    ListAttribute::Element(parts)
}

/// A comment as `nft` keeps it: kind, length, text, zero.
fn note(kind: u8, text: &str) -> Vec<u8> {
    let mut note = vec![kind, text.len() as u8 + 1];
    note.extend(text.bytes());
    note.push(0);
    note
}
