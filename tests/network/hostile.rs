//! Name servers beside those who mean harm: who asks too much, too slowly or without
//! reading, and whoever answers in their stead.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use dockster_tests::{Failed, wait_until};
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::names::{
    CLIENT, SERVER, UPSTREAM, UPSTREAMS, ask, exchange, exchange_tcp, front, question, shown,
};
use crate::room::{Part, Room, address, lease, patience, tcp, udp};
use crate::upstream::Upstream;

pub const PARTS: &[Part] = &[
    ("names_a_thousand_connections_stop_nobody", a_thousand),
    ("names_who_sends_bit_by_bit_is_not_waited_for", bit_by_bit),
    ("names_who_does_not_read_is_not_waited_for", does_not_read),
    ("names_a_flood_leaves_nothing_behind", a_flood),
    ("names_a_resolver_that_comes_back_is_asked_again", comes_back),
    ("names_what_a_resolver_says_is_passed_on_in_one_piece", passed_on),
];

/// What netd has in memory, in KiB (proc_pid_status(5)).
fn memory(room: &Room) -> Result<u64, Failed> {
    let status = fs::read_to_string(room.proc()?.join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Whether the other side has closed, or broken off.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 4096]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

fn a_thousand() -> Result<(), Failed> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let room = front("")?;
    assert_eq!(ask("web.")?, "172.18.0.2");
    let before = memory(&room)?;
    let mut open = Vec::new();
    for number in 0..1000 {
        // The whole subnet is on `lo`: whoever has an address there may have all of them.
        let mut stream = tcp(&format!("172.18.7.{}", 1 + number % 200), SERVER)?;
        // A length, of which nothing follows. Those too many may be closed already.
        let _ = stream.write_all(&[0x10, 0]);
        open.push(stream);
    }
    assert_eq!(ask("web.")?, "172.18.0.2");
    let grown = memory(&room)?.saturating_sub(before);
    assert!(grown < 8 * 1024, "netd has grown by {grown} KiB");
    drop(open);
    let web = question("web.", RecordType::A);
    wait_until("there is room again", patience(), || {
        let answer = tcp(CLIENT, SERVER).and_then(|mut stream| exchange_tcp(&mut stream, &web));
        answer.is_ok_and(|answer| shown(&answer) == "172.18.0.2")
    })
}

fn bit_by_bit() -> Result<(), Failed> {
    let _room = front("")?;
    let web = question("web.", RecordType::A);
    let mut slow = tcp(CLIENT, SERVER)?;
    slow.write_all(&[1, 0])?;
    // Always some, never all: each byte would be in time, but the question as a whole is not.
    slow.set_read_timeout(Some(Duration::from_millis(100)))?;
    let (mut quick, mut sent) = (tcp(CLIENT, SERVER)?, 0);
    while !is_closed(&mut slow) {
        assert!(sent < 255, "a question of {sent} bytes is still waited for");
        // It may just have been closed.
        sent += usize::from(slow.write_all(&[0]).is_ok());
        assert_eq!(shown(&exchange_tcp(&mut quick, &web)?), "172.18.0.2");
    }
    Ok(())
}

fn does_not_read() -> Result<(), Failed> {
    let room = front("")?;
    // An answer of 16 kB.
    let mut web = lease("web", 1, 2);
    let addresses = (0..1000_u16).map(|n| format!("172.18.{}.{}/16", 1 + n / 250, 1 + n % 250));
    web.addresses = addresses.map(|text| text.parse().expect("a net")).collect();
    room.leases("front", &[web, lease("client", 1, 3)])?;
    let asked = question("web.", RecordType::A).to_vec()?;
    let length = u16::try_from(asked.len())?.to_be_bytes();
    let asked = [&length[..], &asked].concat().repeat(100);
    let mut greedy = tcp(CLIENT, SERVER)?;
    greedy.set_write_timeout(Some(Duration::from_millis(100)))?;
    let mut sent = 0;
    // The answers fill all that is between us. Then no question is read any more, and at
    // last the next answer is no longer waited with.
    wait_until("it is closed", patience().max(Duration::from_secs(60)), || {
        let waited = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
        match greedy.write(&asked) {
            Ok(length) => sent += length,
            Err(error) => return !waited.contains(&error.kind()),
        }
        assert!(sent < 64 << 20, "{sent} bytes of questions were taken");
        assert!(ask("client.").is_ok_and(|answer| answer == CLIENT));
        false
    })?;
    assert!(memory(&room)? < 64 * 1024);
    Ok(())
}

fn a_flood() -> Result<(), Failed> {
    address(UPSTREAM)?;
    let _upstream = Upstream::new(UPSTREAM, UPSTREAMS)?;
    let room = front(&format!("nameserver {UPSTREAM}\n"))?;
    assert_eq!(ask("example.com.")?, "192.0.2.1");
    let before = memory(&room)?;
    let packets = [
        question("web.", RecordType::A).to_vec()?,
        question("silent.example.", RecordType::A).to_vec()?,
        vec![0xff; 4096],
        // Sixty thousand questions, it says.
        [&[0, 1, 1, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0][..], &[0; 500]].concat(),
    ];
    for from in 0..100 {
        let flood = udp(&format!("172.18.8.{}", 1 + from), SERVER)?;
        for packet in packets.iter().cycle().take(200) {
            flood.send(packet)?;
        }
    }
    wait_until("others are answered", patience(), || {
        ask("web.").is_ok_and(|answer| answer == "172.18.0.2")
    })?;
    let grown = memory(&room)?.saturating_sub(before);
    assert!(grown < 32 * 1024, "netd has grown by {grown} KiB");
    // As soon as the silent one has been given up on.
    wait_until("there is room for questions again", patience(), || {
        ask("example.com.").is_ok_and(|answer| answer == "192.0.2.1")
    })
}

fn comes_back() -> Result<(), Failed> {
    address(UPSTREAM)?;
    let _room = front(&format!("nameserver {UPSTREAM}\n"))?;
    for _ in 0..3 {
        assert_eq!(ask("example.com.")?, "ServFail");
    }
    let mut stream = tcp(CLIENT, SERVER)?;
    let asked = question("example.com.", RecordType::A);
    assert_eq!(shown(&exchange_tcp(&mut stream, &asked)?), "ServFail");
    let _upstream = Upstream::new(UPSTREAM, UPSTREAMS)?;
    assert_eq!(ask("example.com.")?, "192.0.2.1");
    assert_eq!(shown(&exchange_tcp(&mut stream, &asked)?), "192.0.2.1");
    Ok(())
}

fn passed_on() -> Result<(), Failed> {
    address(UPSTREAM)?;
    let _upstream = Upstream::new(UPSTREAM, UPSTREAMS)?;
    let _room = front(&format!("nameserver {UPSTREAM}\n"))?;
    assert_eq!(ask("alias.example.")?, "second.example. third.example. 192.0.2.1");

    // More than was asked for is a word that there is more, and no more than that.
    let giant = question("giant.example.", RecordType::A);
    let answer = exchange(&udp(CLIENT, SERVER)?, &giant)?;
    assert!(answer.truncation && answer.answers.is_empty());
    assert_eq!(answer.queries, giant.queries);
    assert_eq!(shown(&exchange_tcp(&mut tcp(CLIENT, SERVER)?, &giant)?), "192.0.2.1");

    // What cannot be read is for who asked to refuse: it is passed on as it came.
    let socket = udp(CLIENT, SERVER)?;
    let asked = question("loop.example.", RecordType::A);
    socket.send(&asked.to_vec()?)?;
    let mut packet = [0; 512];
    let length = socket.recv(&mut packet)?;
    assert_eq!(packet[..2], asked.to_vec()?[..2]);
    assert!(Message::from_vec(&packet[..length]).is_err());
    assert_eq!(ask("web.")?, "172.18.0.2");
    Ok(())
}
