//! Catalogue: not needed to understand the chapter.
//!
//! What is answered, packet by packet.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;

use dockster_tests::TempDir;
use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};

use super::{Asked, Reply, reply};
use crate::answers::in_one_piece;
use crate::known::Known;
use crate::{Lease, Network, Range};

const WEB: &str = "0123456789abcdef";

fn network(name: &str, ranges: &[(&str, &str)], internal: bool) -> Network {
    let range = |(subnet, gateway): &(&str, &str)| Range {
        subnet: subnet.parse().unwrap(),
        gateway: gateway.parse().unwrap(),
    };
    Network {
        id: "f".repeat(64),
        name: name.to_owned(),
        created: 0,
        bridge: "dk-0".to_owned(),
        ranges: ranges.iter().map(range).collect(),
        internal,
        labels: BTreeMap::new(),
    }
}

fn lease(container: &str, name: &str, aliases: &[&str], addresses: &[&str]) -> Lease {
    Lease {
        container: container.repeat(64 / container.len()),
        name: name.to_owned(),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        mac: String::new(),
        link: String::new(),
        interface: "eth0".to_owned(),
        ports: Vec::new(),
    }
}

/// `front` has two web servers with both families and a client; `back` is internal, and
/// the client is on it, too, with a database; `bridge` has the client and another.
struct World {
    dir: TempDir,
    known: Known,
}

impl World {
    fn new() -> World {
        let dir = TempDir::new();
        let front = [("172.18.0.0/16", "172.18.0.1"), ("fd00:1::/64", "fd00:1::1")];
        let world = World { known: Known::open(dir.path()).unwrap(), dir };
        world.write(
            &network("front", &front, false),
            &[
                lease(WEB, "Web", &["www", "a.b", "web"], &["172.18.0.2/16", "fd00:1::2/64"]),
                lease("b", "web2", &["www"], &["172.18.0.3/16", "fd00:1::3/64"]),
                lease("c", "client", &[], &["172.18.0.4/16"]),
            ],
        );
        world.write(
            &network("back", &[("172.19.0.0/16", "172.19.0.1")], true),
            &[
                lease("c", "client", &[], &["172.19.0.4/16"]),
                lease("d", "db", &[], &["172.19.0.5/16"]),
            ],
        );
        world.write(
            &network("bridge", &[("172.17.0.0/16", "172.17.0.1")], false),
            &[
                lease("c", "client", &[], &["172.17.0.4/16"]),
                lease("e", "other", &[], &["172.17.0.5/16"]),
            ],
        );
        world
    }

    fn write(&self, network: &Network, leases: &[Lease]) {
        let dir = self.dir.join(&network.name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("network.json"), serde_json::to_vec(network).unwrap()).unwrap();
        fs::write(dir.join("leases.new"), serde_json::to_vec(leases).unwrap()).unwrap();
        fs::rename(dir.join("leases.new"), dir.join("leases.json")).unwrap();
    }

    fn send(&mut self, network: &str, by: &str, packet: &[u8], turn: usize) -> Reply {
        let by: IpAddr = by.parse().unwrap();
        reply(&mut self.known, Asked { network, by, over_udp: true }, packet, turn)
    }

    /// The client's question on `front`, and the answer in a few words.
    fn ask(&mut self, name: &str, kind: RecordType) -> String {
        let packet = question(name, kind).to_vec().unwrap();
        shown(&self.send("front", "172.18.0.4", &packet, 0))
    }
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn message(reply: &Reply) -> Message {
    match reply {
        Reply::Answer(bytes) => Message::from_vec(bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn shown(reply: &Reply) -> String {
    let Reply::Answer(bytes) = reply else { return format!("{reply:?}") };
    let answer = Message::from_vec(bytes).unwrap();
    assert!(answer.recursion_available && answer.recursion_desired);
    let records: Vec<_> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    match answer.response_code {
        ResponseCode::NoError => records.join(" "),
        // The same number: which of them it is, is said by what was asked (RFC 6895, 2.3).
        ResponseCode::BADSIG => "BADVERS".to_owned(),
        code => format!("{code:?}"),
    }
}

#[test]
fn a_container_has_several_names() {
    let mut world = World::new();
    for name in ["web.", "WEB.", "0123456789ab.", "a.b.", "web.front.", "A.B.Front."] {
        assert_eq!(world.ask(name, RecordType::A), "172.18.0.2", "{name}");
        assert_eq!(world.ask(name, RecordType::AAAA), "fd00:1::2", "{name}");
    }
    for name in ["0123456789abc.", "web.back.", "front.", "b.", "web.front.front.", "."] {
        assert_eq!(world.ask(name, RecordType::A), "Forward", "{name}");
    }
}

#[test]
fn a_name_without_the_type_is_no_unknown_name() {
    let mut world = World::new();
    assert_eq!(world.ask("client.", RecordType::A), "172.18.0.4");
    for kind in [RecordType::AAAA, RecordType::MX, RecordType::TXT, RecordType::HTTPS] {
        assert_eq!(world.ask("client.", kind), "", "{kind}");
    }
    assert_eq!(world.ask("client.", RecordType::ANY), "172.18.0.4");
}

#[test]
fn several_behind_one_name_take_turns() {
    let mut world = World::new();
    let packet = question("www.", RecordType::A).to_vec().unwrap();
    let mut turn = |turn| shown(&world.send("front", "172.18.0.4", &packet, turn));
    assert_eq!(turn(0), "172.18.0.2 172.18.0.3");
    assert_eq!(turn(1), "172.18.0.3 172.18.0.2");
    assert_eq!(turn(usize::MAX), "172.18.0.3 172.18.0.2");
}

#[test]
fn an_address_has_a_name() {
    let mut world = World::new();
    let ptr = |address: &str| Name::from(address.parse::<IpAddr>().unwrap()).to_ascii();
    assert_eq!(world.ask(&ptr("172.18.0.3"), RecordType::PTR), "web2.front.");
    assert_eq!(world.ask(&ptr("fd00:1::2"), RecordType::PTR), "Web.front.");
    assert_eq!(world.ask(&ptr("172.19.0.5"), RecordType::PTR), "db.back.");
    assert_eq!(world.ask(&ptr("172.18.0.9"), RecordType::PTR), "NXDomain");
    assert_eq!(world.ask(&ptr("172.18.0.3"), RecordType::A), "");
    assert_eq!(world.ask(&ptr("8.8.8.8"), RecordType::PTR), "Forward");
    assert_eq!(world.ask("18.172.in-addr.arpa.", RecordType::PTR), "Forward");
}

#[test]
fn who_is_on_two_networks_finds_both() {
    let mut world = World::new();
    assert_eq!(world.ask("db.", RecordType::A), "172.19.0.5");
    // Its own name: the network that was asked comes first.
    assert_eq!(world.ask("client.", RecordType::A), "172.18.0.4");
    assert_eq!(world.ask("other.", RecordType::A), "Forward", "no names on the default network");
    let packet = question("db.", RecordType::A).to_vec().unwrap();
    assert_eq!(shown(&world.send("front", "172.18.0.2", &packet, 0)), "Forward");
    let packet = question("web.", RecordType::A).to_vec().unwrap();
    assert_eq!(shown(&world.send("back", "172.19.0.4", &packet, 0)), "172.18.0.2");
    assert_eq!(shown(&world.send("back", "172.19.0.5", &packet, 0)), "ServFail");
}

#[test]
fn an_internal_network_asks_nobody() {
    let mut world = World::new();
    for (name, by) in [("example.com.", "172.19.0.5"), ("single.", "172.19.0.4")] {
        let packet = question(name, RecordType::A).to_vec().unwrap();
        assert_eq!(shown(&world.send("back", by, &packet, 0)), "ServFail");
    }
}

#[test]
fn strangers_are_not_answered() {
    let mut world = World::new();
    let packet = question("web.", RecordType::A).to_vec().unwrap();
    for by in ["172.19.0.5", "192.0.2.1", "fd00:2::2"] {
        assert_eq!(world.send("front", by, &packet, 0), Reply::Silence, "{by}");
    }
    assert_eq!(world.send("nowhere", "172.18.0.2", &packet, 0), Reply::Silence);
}

#[test]
fn leases_are_read_when_they_are_new() {
    let mut world = World::new();
    assert_eq!(world.ask("late.", RecordType::A), "Forward");
    let front = network("front", &[("172.18.0.0/16", "172.18.0.1")], false);
    world.write(&front, &[lease("e", "late", &[], &["172.18.0.7/16"])]);
    assert_eq!(world.ask("late.", RecordType::A), "172.18.0.7");
    assert_eq!(world.ask("web.", RecordType::A), "Forward");
    fs::remove_file(world.dir.join("front/leases.json")).unwrap();
    assert_eq!(world.ask("late.", RecordType::A), "Forward");
    fs::remove_dir_all(world.dir.join("front")).unwrap();
    assert_eq!(world.ask("late.", RecordType::A), "Silence");
    world.write(&front, &[lease("e", "late", &[], &["172.18.0.8/16"])]);
    assert_eq!(world.ask("late.", RecordType::A), "172.18.0.8");
}

#[test]
fn what_is_no_question_of_ours_is_refused() {
    let mut world = World::new();
    let mut send = |message: &Message| {
        shown(&world.send("front", "172.18.0.4", &message.to_vec().unwrap(), 0))
    };
    let mut update = question("web.", RecordType::A);
    update.metadata.op_code = OpCode::Update;
    assert_eq!(send(&update), "NotImp");
    let mut chaos = question("version.bind.", RecordType::TXT);
    chaos.queries[0].query_class = DNSClass::CH;
    assert_eq!(send(&chaos), "Refused");
    let mut two = question("web.", RecordType::A);
    two.add_query(two.queries[0].clone());
    assert_eq!(send(&two), "FormErr");
    let mut later = question("web.", RecordType::A);
    later.edns = Some(Edns::new());
    later.edns.as_mut().unwrap().set_version(1);
    assert_eq!(send(&later), "BADVERS");
    let answer = question("web.", RecordType::A).into_response();
    assert_eq!(send(&answer), "Silence");
}

#[test]
fn an_answer_is_as_long_as_the_asker_takes() {
    let mut world = World::new();
    let many: Vec<_> =
        (2..200).map(|n| lease("e", "x", &["all"], &[&format!("172.18.0.{n}/16")])).collect();
    world.write(&network("front", &[("172.18.0.0/16", "172.18.0.1")], false), &many);
    let mut asked = question("all.", RecordType::A);
    let mut size = |asked: &Message, over_udp| {
        let by = "172.18.0.4".parse().unwrap();
        let asked_by = Asked { network: "front", by, over_udp };
        let Reply::Answer(bytes) = reply(&mut world.known, asked_by, &asked.to_vec().unwrap(), 0)
        else {
            panic!("no answer")
        };
        let answer = Message::from_vec(&bytes).unwrap();
        (bytes.len(), answer.answers.len(), answer.truncation, answer.edns.is_some())
    };
    assert_eq!(size(&asked, true), (21 + 30 * 16, 30, true, false));
    asked.edns = Some(Edns::new());
    for (offered, most) in [(100, 512), (700, 700), (1232, 1232), (4096, 1232)] {
        asked.edns.as_mut().unwrap().set_max_payload(offered);
        let (length, records, truncated, edns) = size(&asked, true);
        assert!(length <= most && length > most - 16, "{offered}: {length}");
        assert!(records > 0 && truncated && edns);
    }
    let (length, records, truncated, _) = size(&asked, false);
    assert!(length > 198 * 16 && records == 198 && !truncated);
}

/// Who asks in mixed letters looks whether they come back so: one more thing to guess.
#[test]
fn the_question_comes_back_letter_by_letter() {
    let mut world = World::new();
    for name in ["wEb.", "A.b.fRONT.", "2.0.18.172.IN-addr.ARPA."] {
        let packet = question(name, RecordType::ANY).to_vec().unwrap();
        let Reply::Answer(answer) = world.send("front", "172.18.0.4", &packet, 0) else {
            panic!("{name}: no answer");
        };
        assert_eq!(answer[12..packet.len()], packet[12..], "{name}");
        assert!(!Message::from_vec(&answer).unwrap().answers.is_empty(), "{name}");
    }
}

#[test]
fn a_name_may_be_of_any_bytes() {
    let mut world = World::new();
    let mut send = |labels: &[&[u8]]| {
        let mut packet = question("x.", RecordType::A).to_vec().unwrap();
        let name: Vec<u8> =
            labels.iter().flat_map(|label| [&[label.len() as u8][..], label].concat()).collect();
        packet.splice(12..14, name);
        shown(&world.send("front", "172.18.0.4", &packet, 0))
    };
    let long = [b'w'; 63];
    assert_eq!(send(&[&long, &long, &long, &[0xff; 61]]), "Forward", "255 bytes in all");
    assert_eq!(send(&[b"\0\xff\x80", b"\n"]), "Forward");
    assert_eq!(send(&[b"a.b"]), "Forward");
    assert_eq!(send(&[b"a", b"b"]), "172.18.0.2");
}

#[test]
fn nobody_gets_a_whole_zone() {
    let mut world = World::new();
    for kind in [RecordType::AXFR, RecordType::IXFR] {
        for name in ["web.", "front.", "example.com.", "18.172.in-addr.arpa."] {
            assert_eq!(world.ask(name, kind), "Refused", "{name} {kind}");
        }
    }
}

#[test]
fn an_answer_of_others_is_cut_too() {
    let mut asked = question("big.example.", RecordType::TXT);
    let length = |asked: &Message, answer: usize| {
        let cut = in_one_piece(&asked.to_vec().unwrap(), vec![7; answer]).unwrap();
        if cut.len() == answer {
            return answer;
        }
        let message = Message::from_vec(&cut).unwrap();
        assert!(message.truncation && message.answers.is_empty());
        assert_eq!((message.id, &message.queries), (asked.id, &asked.queries));
        0
    };
    assert_eq!([512, 513, 60_000].map(|answer| length(&asked, answer)), [512, 0, 0]);
    asked.edns = Some(Edns::new());
    asked.edns.as_mut().unwrap().set_max_payload(1400);
    assert_eq!([512, 1400, 1401].map(|answer| length(&asked, answer)), [512, 1400, 0]);
}

mod fuzz;
