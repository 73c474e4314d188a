//! Catalogue: not needed to understand the chapter.
//!
//! What is answered to packets that nobody in their right mind sends.

use std::collections::BTreeMap;

use hickory_proto::op::{Edns, Message};
use hickory_proto::rr::RecordType;

use super::{World, message, question};
use crate::answers::{failed, in_one_piece};
use crate::names::Reply;

/// Whatever comes, an answer is a message with the same id; nothing panics, and nothing
/// but a question gets further.
#[test]
fn broken_packets_by_the_hundred_thousand() {
    let mut world = World::new();
    let mut seeds: Vec<Vec<u8>> = [
        ("web.", RecordType::A),
        ("www.front.", RecordType::AAAA),
        ("3.0.18.172.in-addr.arpa.", RecordType::PTR),
        ("a.long.name.of.somebody.example.com.", RecordType::MX),
    ]
    .map(|(name, kind)| question(name, kind).to_vec().unwrap())
    .into();
    let mut edns = question("web.", RecordType::A);
    edns.edns = Some(Edns::new());
    seeds.push(edns.to_vec().unwrap());
    // A name that points to itself, and a message that is all counts.
    seeds.push(b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x01\0\x01".to_vec());
    seeds.push([&b"\0\x01\x01\0\xff\xff\xff\xff\xff\xff\xff\xff"[..], &[0; 500]].concat());

    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut kinds = BTreeMap::new();
    for round in 0..100_000 {
        let mut packet = seeds[next(seeds.len())].clone();
        for _ in 0..=next(6) {
            let at = next(packet.len().max(1));
            match next(5) {
                0 if !packet.is_empty() => packet[at] ^= 1 << next(8),
                1 if !packet.is_empty() => packet[at] = [0, 1, 0x3f, 0x40, 0xc0, 0xff][next(6)],
                2 => packet.truncate(at),
                3 => packet.insert(at, u8::try_from(next(256)).unwrap()),
                _ => packet.extend_from_within(at..),
            }
            packet.truncate(2000);
        }
        let reply = world.send("front", "172.18.0.4", &packet, round);
        let kind = match &reply {
            Reply::Answer(bytes) => {
                assert!(bytes.len() <= 1232, "{packet:02x?}");
                assert_eq!((&bytes[..2], bytes[2] & 0x80), (&packet[..2], 0x80), "{packet:02x?}");
                format!("{:?}", message(&reply).response_code)
            }
            Reply::Forward => {
                let asked = Message::from_vec(&packet).unwrap();
                assert_eq!(asked.queries.len(), 1, "{packet:02x?}");
                assert!(failed(&packet).is_some());
                assert!(in_one_piece(&packet, vec![0; 65_535]).is_some());
                "Forward".to_owned()
            }
            Reply::Silence => "Silence".to_owned(),
        };
        *kinds.entry(kind).or_insert(0) += 1;
    }
    for kind in ["NoError", "FormErr", "Forward", "Silence", "Refused"] {
        assert!(kinds.get(kind).is_some_and(|count| *count > 1000), "{kind}: {kinds:?}");
    }
}
