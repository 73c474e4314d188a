//! Who answers to a name. A network's name server is its gateway: it knows who is on the
//! network, and asks the host's resolvers for the rest.
//!
//! What is answered follows from the leases: as often as they are written anew, they are
//! read anew, and no answer may be kept by whoever asked (its time to live is 0).

use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

use crate::answers::{answer, malformed, refuse};
use crate::known::{Known, Place};
use crate::{Lease, Network};

/// The network whose name server was asked, who asked, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) network: &'a str,
    pub(crate) by: IpAddr,
    pub(crate) over_udp: bool,
}

/// What becomes of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// This is the answer.
    Answer(Vec<u8>),
    /// It is not about our names: the host's resolvers are asked.
    Forward,
    /// Nobody is there to be answered, or nobody of ours.
    Silence,
}

/// What the leases say about a question.
enum Found {
    /// These; none where the name exists, but without what is asked for.
    Records(Vec<RData>),
    /// The name would be ours, and it is nobody's.
    Nobody,
    /// Others may know.
    NotOurs,
}

/// Decides about a packet that came to a network's name server.
pub(crate) fn reply(known: &mut Known, asked: Asked<'_>, packet: &[u8], turn: usize) -> Reply {
    // Who is not on the network is not answered: this is not a resolver for the world.
    let Some(network) = known.place(asked.network).and_then(|place| place.network.as_ref()) else {
        return Reply::Silence;
    };
    if !network.ranges.iter().any(|range| range.subnet.contains(&asked.by)) {
        return Reply::Silence;
    }
    // CVE-2024-29018: a question, too, is something that gets out.
    let outside = !network.internal;
    let request = match Message::from_vec(packet) {
        Ok(request) if request.message_type == MessageType::Query => request,
        // An answer to an answer would be answered.
        Ok(_) => return Reply::Silence,
        Err(_) => return malformed(packet),
    };
    let [query] = &request.queries[..] else { return refuse(&request, ResponseCode::FormErr) };
    if request.op_code != OpCode::Query {
        return refuse(&request, ResponseCode::NotImp);
    }
    if request.version() > 0 {
        return refuse(&request, ResponseCode::BADVERS);
    }
    if query.query_class != DNSClass::IN {
        return refuse(&request, ResponseCode::Refused);
    }
    // A whole zone is many messages, and nobody's business (RFC 5936).
    if matches!(query.query_type, RecordType::AXFR | RecordType::IXFR) {
        return refuse(&request, ResponseCode::Refused);
    }
    // ANCHOR: reply
    match find(known, asked, query) {
        Found::Records(mut records) => {
            // Several behind one name: each is the first in turn.
            let first = turn % records.len().max(1);
            records.rotate_left(first);
            answer(&request, records, asked.over_udp)
        }
        Found::Nobody => refuse(&request, ResponseCode::NXDomain),
        // As docker does, also for a name of one label: the host's own network may know it.
        Found::NotOurs if outside => Reply::Forward,
        Found::NotOurs => refuse(&request, ResponseCode::ServFail),
    }
    // ANCHOR_END: reply
}

/// First on the network that was asked, then on the others of the container that asks.
fn find(known: &mut Known, asked: Asked<'_>, query: &Query) -> Found {
    let Some(subject) = Subject::of(&query.name) else { return Found::NotOurs };
    let Some(here) = known.place(asked.network) else { return Found::NotOurs };
    let found = look(here, &subject, query.query_type);
    if !matches!(found, Found::NotOurs) {
        return found;
    }
    let Some(asking) = here.of_address(asked.by) else { return found };
    let asking = asking.container.clone();
    let is_on = |place: &&Place| place.leases.iter().any(|lease| lease.container == asking);
    let others = known.all().filter(|place| place.has_names()).filter(is_on);
    let mut answers = others.map(|place| look(place, &subject, query.query_type));
    answers.find(|found| !matches!(found, Found::NotOurs)).unwrap_or(Found::NotOurs)
}

/// What a question is about.
enum Subject {
    /// A name in small letters, without the dot at its end.
    Name(String),
    /// An address, asked for by its name under in-addr.arpa or ip6.arpa.
    Address(IpAddr),
}

impl Subject {
    fn of(name: &Name) -> Option<Subject> {
        if let Ok(net) = name.parse_arpa_name() {
            let whole = net.prefix_len() == net.max_prefix_len();
            return whole.then(|| Subject::Address(net.addr()));
        }
        let mut text = String::with_capacity(name.len());
        for label in name.iter() {
            // A dot within a label is none between two.
            if label.contains(&b'.') {
                return None;
            }
            if !text.is_empty() {
                text.push('.');
            }
            text.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        }
        Some(Subject::Name(text))
    }
}

fn look(place: &Place, subject: &Subject, kind: RecordType) -> Found {
    let Some(network) = &place.network else { return Found::NotOurs };
    match subject {
        Subject::Name(name) => addresses(place, network, name, kind),
        Subject::Address(address) => owner(place, network, *address, kind),
    }
}

/// `web`, and `web.NETWORK` as in docker.
fn addresses(place: &Place, network: &Network, name: &str, kind: RecordType) -> Found {
    let short = || name.strip_suffix(&network.name.to_ascii_lowercase())?.strip_suffix('.');
    let mut leases = place.named(name).peekable();
    if leases.peek().is_none() {
        leases = place.named(short().unwrap_or_default()).peekable();
    }
    if leases.peek().is_none() {
        return Found::NotOurs;
    }
    let all = leases.flat_map(|lease| &lease.addresses).map(|net| match net.addr() {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    });
    Found::Records(
        all.filter(|data| kind == RecordType::ANY || data.record_type() == kind).collect(),
    )
}

fn owner(place: &Place, network: &Network, address: IpAddr, kind: RecordType) -> Found {
    let name = |lease: &Lease| Name::from_ascii(format!("{}.{}.", lease.name, network.name)).ok();
    match place.of_address(address) {
        Some(lease) if matches!(kind, RecordType::PTR | RecordType::ANY) => {
            Found::Records(name(lease).map(|name| RData::PTR(PTR(name))).into_iter().collect())
        }
        Some(_) => Found::Records(Vec::new()),
        None if network.ranges.iter().any(|range| range.subnet.contains(&address)) => Found::Nobody,
        None => Found::NotOurs,
    }
}

#[cfg(test)]
mod tests;
