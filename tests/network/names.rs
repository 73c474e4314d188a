//! The name servers of networks: who is answered, with what, and who is asked for the rest.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use ch04_network::netd::Home;
use dockster_tests::{Failed, wait_until};
use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};

use crate::room::{Part, Room, address, lease, patience, tcp, udp};
use crate::upstream::Upstream;

pub const PARTS: &[Part] = &[
    ("names_are_answered_over_udp_and_tcp", answered),
    ("names_follow_the_leases", follow_the_leases),
    ("names_of_others_are_asked_of_the_hosts_resolvers", asked_of_others),
    ("names_a_question_is_passed_on_as_it_came", passed_on_as_it_came),
    ("names_the_next_resolver_is_asked", the_next_is_asked),
    ("names_the_hosts_resolvers_may_change", resolvers_change),
    ("names_too_long_for_a_datagram_come_over_tcp", truncated),
    ("names_lies_are_not_believed", lies),
    ("names_an_internal_network_asks_nobody", internal),
    ("names_a_slow_client_stops_nobody", slow_clients),
    ("names_a_silent_resolver_stops_nobody", silent_resolver),
    ("names_broken_packets_stop_nobody", broken_packets),
];

pub const SERVER: &str = "172.18.0.1:53";
pub const CLIENT: &str = "172.18.0.3";
pub const UPSTREAM: &str = "10.9.9.1";
pub const UPSTREAMS: [u8; 4] = [192, 0, 2, 1];

pub fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    message
}

/// Sends a message over UDP, and waits for one. A datagram may be lost.
pub fn exchange(socket: &UdpSocket, message: &Message) -> Result<Message, Failed> {
    socket.set_read_timeout(Some(patience() / 2))?;
    let bytes = message.to_vec()?;
    socket.send(&bytes)?;
    let mut packet = [0; 4096];
    let length = socket.recv(&mut packet).or_else(|_| {
        socket.send(&bytes)?;
        socket.recv(&mut packet)
    })?;
    let answer = Message::from_vec(&packet[..length])?;
    assert_eq!(answer.id, message.id);
    Ok(answer)
}

pub fn exchange_tcp(stream: &mut TcpStream, message: &Message) -> Result<Message, Failed> {
    let bytes = message.to_vec()?;
    let length = u16::try_from(bytes.len())?.to_be_bytes();
    stream.write_all(&[&length[..], &bytes].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut packet = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut packet)?;
    let answer = Message::from_vec(&packet)?;
    assert_eq!(answer.id, message.id);
    Ok(answer)
}

pub fn shown(answer: &Message) -> String {
    let records: Vec<_> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    match answer.response_code {
        ResponseCode::NoError => records.join(" "),
        code => format!("{code:?}"),
    }
}

/// What the client is told by the name server of `front`.
pub fn ask(name: &str) -> Result<String, Failed> {
    let asked = question(name, RecordType::A);
    Ok(shown(&exchange(&udp(CLIENT, SERVER)?, &asked)?))
}

/// `front`, and a host whose resolvers are these.
pub fn front(resolvers: &str) -> Result<Room, Failed> {
    fs::write("/etc/resolv.conf", resolvers)?;
    Room::with_network(Home::Host, "front", 1, false)
}

fn answered() -> Result<(), Failed> {
    let _room = front("")?;
    for (server, client) in [(SERVER, CLIENT), ("[fd00:1::1]:53", "fd00:1::3")] {
        for (kind, is) in [(RecordType::A, "172.18.0.2"), (RecordType::AAAA, "fd00:1::2")] {
            let asked = question("web.", kind);
            let answer = exchange(&udp(client, server)?, &asked)?;
            assert_eq!(shown(&answer), is, "{server}");
            assert!(answer.authoritative && answer.answers[0].ttl == 0);
            let mut stream = tcp(client, server)?;
            for _ in 0..3 {
                assert_eq!(shown(&exchange_tcp(&mut stream, &asked)?), is, "{server}");
            }
        }
    }
    assert_eq!(ask("nobody.")?, "ServFail", "the host has no resolver");
    Ok(())
}

fn follow_the_leases() -> Result<(), Failed> {
    let room = front("")?;
    let others = [lease("client", 1, 3), lease("db", 1, 4)];
    for _ in 0..20 {
        room.leases("front", &others)?;
        assert_eq!((ask("db.")?, ask("web.")?), ("172.18.0.4".into(), "ServFail".into()));
        room.leases("front", &[lease("client", 1, 3), lease("web", 1, 4)])?;
        assert_eq!((ask("web.")?, ask("db.")?), ("172.18.0.4".into(), "ServFail".into()));
    }
    // On a network of its own, which is known from the moment it is written.
    room.add_network("back", 2, true)?;
    room.leases("back", &[lease("client", 2, 3), lease("db", 2, 4)])?;
    assert_eq!(ask("db.")?, "172.19.0.4");
    Ok(())
}

fn asked_of_others() -> Result<(), Failed> {
    address(UPSTREAM)?;
    let upstream = Upstream::new(UPSTREAM, UPSTREAMS)?;
    let _room = front(&format!("nameserver {UPSTREAM}\n"))?;
    for name in ["example.com.", "single.", "web.example.com."] {
        assert_eq!(ask(name)?, "192.0.2.1", "{name}");
        let mut stream = tcp(CLIENT, SERVER)?;
        let asked = question(name, RecordType::A);
        assert_eq!(shown(&exchange_tcp(&mut stream, &asked)?), "192.0.2.1", "{name}");
    }
    assert_eq!(ask("nxdomain.example.")?, "NXDomain");
    assert_eq!(ask("web.")?, "172.18.0.2");
    let heard: Vec<_> = upstream.heard().into_iter().map(|(name, over, ..)| (name, over)).collect();
    let both = |name: &str| [(name.to_owned(), "udp"), (name.to_owned(), "tcp")];
    let names = ["example.com.", "single.", "web.example.com."].iter().flat_map(|n| both(n));
    assert_eq!(heard, names.chain([("nxdomain.example.".into(), "udp")]).collect::<Vec<_>>());
    Ok(())
}

fn passed_on_as_it_came() -> Result<(), Failed> {
    address(UPSTREAM)?;
    let upstream = Upstream::new(UPSTREAM, UPSTREAMS)?;
    let _room = front(&format!("nameserver {UPSTREAM}\n"))?;
    let mut asked = question("MiXed.example.com.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(1400).set_dnssec_ok(true);
    asked.edns = Some(edns);
    asked.metadata.checking_disabled = true;
    let socket = udp(CLIENT, SERVER)?;
    for _ in 0..8 {
        assert_eq!(shown(&exchange(&socket, &asked)?), "192.0.2.1");
        assert_eq!(upstream.last()[2..], asked.to_vec()?[2..]);
    }
    // The same id and the same port eight times would be chance in less than 2^64 cases.
    let heard = upstream.heard();
    assert!(heard.iter().any(|question| question.2 != asked.id), "{heard:?}");
    assert!(heard.iter().any(|question| question.3 != heard[0].3), "{heard:?}");
    assert!(heard.iter().any(|question| question.2 != heard[0].2), "{heard:?}");
    Ok(())
}

fn the_next_is_asked() -> Result<(), Failed> {
    for last in 1..=3 {
        address(&format!("10.9.9.{last}"))?;
    }
    // Nobody is at the first, and the second says nothing.
    let _silent = UdpSocket::bind("10.9.9.2:53")?;
    let third = Upstream::new("10.9.9.3", [192, 0, 2, 3])?;
    let _room = front("nameserver 10.9.9.1\nnameserver 10.9.9.2\nnameserver 10.9.9.3\n")?;
    assert_eq!(ask("example.com.")?, "192.0.2.3");
    // All of them failed: the last word is the one that counts.
    assert_eq!(ask("refused.example.")?, "Refused");
    assert_eq!(third.heard().len(), 2);

    fs::write("/etc/resolv.conf", "nameserver 10.9.9.4\nnameserver 10.9.9.3\n")?;
    address("10.9.9.4")?;
    let fourth = Upstream::new("10.9.9.4", [192, 0, 2, 4])?;
    assert_eq!(ask("servfail.example.")?, "ServFail");
    assert_eq!((fourth.heard().len(), third.heard().len()), (1, 3));
    assert_eq!(ask("nxdomain.example.")?, "NXDomain", "that is an answer");
    assert_eq!((fourth.heard().len(), third.heard().len()), (2, 3));
    Ok(())
}

fn resolvers_change() -> Result<(), Failed> {
    for last in 1..=2 {
        address(&format!("10.9.9.{last}"))?;
    }
    let _both =
        (Upstream::new("10.9.9.1", [192, 0, 2, 1])?, Upstream::new("10.9.9.2", [192, 0, 2, 2])?);
    let _room = front("nameserver 10.9.9.1\n")?;
    assert_eq!(ask("example.com.")?, "192.0.2.1");
    fs::write("/etc/resolv.new", "nameserver 10.9.9.2\n")?;
    fs::rename("/etc/resolv.new", "/etc/resolv.conf")?;
    assert_eq!(ask("example.com.")?, "192.0.2.2");
    Ok(())
}

fn truncated() -> Result<(), Failed> {
    address(UPSTREAM)?;
    let upstream = Upstream::new(UPSTREAM, UPSTREAMS)?;
    let _room = front(&format!("nameserver {UPSTREAM}\n"))?;
    let asked = question("big.example.", RecordType::A);
    let answer = exchange(&udp(CLIENT, SERVER)?, &asked)?;
    assert!(answer.truncation && answer.answers.is_empty());
    let answer = exchange_tcp(&mut tcp(CLIENT, SERVER)?, &asked)?;
    assert!(!answer.truncation);
    assert_eq!(shown(&answer), "192.0.2.1");
    assert_eq!(upstream.heard().iter().map(|asked| asked.1).collect::<Vec<_>>(), ["udp", "tcp"]);
    Ok(())
}

fn lies() -> Result<(), Failed> {
    address(UPSTREAM)?;
    let _upstream = Upstream::new(UPSTREAM, UPSTREAMS)?;
    let _room = front(&format!("nameserver {UPSTREAM}\n"))?;
    assert_eq!(ask("liar.example.")?, "192.0.2.1");
    Ok(())
}

fn internal() -> Result<(), Failed> {
    address(UPSTREAM)?;
    let upstream = Upstream::new(UPSTREAM, UPSTREAMS)?;
    let room = front(&format!("nameserver {UPSTREAM}\n"))?;
    room.add_network("back", 2, true)?;
    room.bring_up()?;
    let back = udp("172.19.0.3", "172.19.0.1:53")?;
    for name in ["secret.example.com.", "secret."] {
        let asked = question(name, RecordType::A);
        assert_eq!(shown(&exchange(&back, &asked)?), "ServFail");
        let mut stream = tcp("172.19.0.3", "172.19.0.1:53")?;
        assert_eq!(shown(&exchange_tcp(&mut stream, &asked)?), "ServFail");
    }
    let web = question("web.", RecordType::A);
    assert_eq!(shown(&exchange(&back, &web)?), "172.19.0.2");
    // Who is not on it may not use it to ask for others either.
    let stranger = udp(CLIENT, "172.19.0.1:53")?;
    stranger.send(&web.to_vec()?)?;
    assert_eq!(shown(&exchange(&back, &web)?), "172.19.0.2");
    stranger.set_nonblocking(true)?;
    assert!(stranger.recv(&mut [0; 512]).is_err(), "a stranger was answered");
    // All of this was before: it would have been heard.
    assert_eq!(ask("example.com.")?, "192.0.2.1");
    assert_eq!(upstream.heard().len(), 1, "{:?}", upstream.heard());
    Ok(())
}

fn slow_clients() -> Result<(), Failed> {
    let _room = front("")?;
    let web = question("web.", RecordType::A);
    // Some say nothing, some half of a length, and some do not read what they asked for.
    let mut slow = Vec::new();
    for part in 0..16_usize {
        let mut stream = tcp(CLIENT, SERVER)?;
        stream.write_all(&[0, 40, 1][..part % 4])?;
        slow.push(stream);
    }
    assert_eq!(ask("web.")?, "172.18.0.2");
    let mut other = tcp("172.18.0.2", SERVER)?;
    assert_eq!(shown(&exchange_tcp(&mut other, &web)?), "172.18.0.2");
    // One more of the same client's is one too many, until one of them is gone.
    let mut extra = tcp(CLIENT, SERVER)?;
    assert!(exchange_tcp(&mut extra, &web).is_err(), "a connection too many was served");
    drop(slow.split_off(8));
    wait_until("there is room again", patience(), || {
        let answer = tcp(CLIENT, SERVER).and_then(|mut stream| exchange_tcp(&mut stream, &web));
        answer.is_ok_and(|answer| shown(&answer) == "172.18.0.2")
    })?;
    // Those that stay silent are not waited for.
    for mut stream in slow {
        stream.set_read_timeout(Some(patience().max(Duration::from_secs(60))))?;
        assert!(matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)), "it was answered");
    }
    Ok(())
}

fn silent_resolver() -> Result<(), Failed> {
    address(UPSTREAM)?;
    let upstream = Upstream::new(UPSTREAM, UPSTREAMS)?;
    let _room = front(&format!("nameserver {UPSTREAM}\n"))?;
    let flood = udp(CLIENT, SERVER)?;
    let silent = question("silent.example.", RecordType::A).to_vec()?;
    // More than one client may have under way: the rest fails at once.
    let mut failed = 0;
    for _ in 0..200 {
        flood.send(&silent)?;
    }
    flood.set_read_timeout(Some(patience()))?;
    while failed == 0 {
        let mut packet = [0; 512];
        let length = flood.recv(&mut packet)?;
        assert_eq!(shown(&Message::from_vec(&packet[..length])?), "ServFail");
        failed += 1;
    }
    assert!(upstream.heard().len() <= 128, "{}", upstream.heard().len());
    assert_eq!(ask("web.")?, "172.18.0.2");
    let other = udp("172.18.0.2", SERVER)?;
    let asked = question("example.com.", RecordType::A);
    assert_eq!(shown(&exchange(&other, &asked)?), "192.0.2.1");
    Ok(())
}

fn broken_packets() -> Result<(), Failed> {
    address(UPSTREAM)?;
    let _upstream = Upstream::new(UPSTREAM, UPSTREAMS)?;
    let room = front(&format!("nameserver {UPSTREAM}\n"))?;
    let seed = question("www.example.com.", RecordType::A).to_vec()?;
    let socket = udp(CLIENT, SERVER)?;
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12345);
        (state >> 16) as usize
    };
    for round in 0..3000 {
        let mut packet = seed.clone();
        for _ in 0..3 {
            let at = next() % packet.len();
            packet[at] = next().to_le_bytes()[0];
        }
        packet.truncate(1 + next() % packet.len());
        socket.send(&packet)?;
        if round % 300 == 0 {
            let mut stream = tcp(CLIENT, SERVER)?;
            stream.write_all(&[0, packet.len().to_le_bytes()[0]])?;
            stream.write_all(&packet)?;
        }
    }
    assert_eq!(ask("web.")?, "172.18.0.2");
    assert!(!room.is_over());
    Ok(())
}
