//! The proxy: what goes in at a published port comes out at the container, and back.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use ch04_network::netd::Home;
use ch04_network::{Lease, Port, Protocol};
use dockster_tests::{Failed, wait_until};

use crate::room::{Part, Room, lease, network, patience, tcp, udp};

pub const PARTS: &[Part] = &[
    ("proxy_passes_on_what_either_sends_and_that_it_ended", both_ways),
    ("proxy_who_does_not_read_stops_who_writes", back_pressure),
    ("proxy_a_break_is_passed_on", a_break),
    ("proxy_ends_with_its_container", ends_with_the_container),
    ("proxy_serves_many_at_a_time", many),
    ("proxy_datagrams_find_their_way_back", datagrams),
    ("proxy_has_room_for_so_many_senders", many_senders),
    ("proxy_datagrams_to_nobody_are_lost", nobody_listens),
    ("proxy_answers_come_from_the_address_that_was_asked", same_address),
    ("proxy_what_is_large_arrives_whole", large),
];

const OUTER: &str = "[::1]:8080";
const INNER: &str = "172.18.0.2:80";

/// `web` at 172.18.0.2, whose port 80 is the host's 8080 at `::1`.
fn room() -> Result<Room, Failed> {
    let room = Room::new(Home::Host);
    room.add_network("bridge", 1, false)?;
    room.write(&network("bridge", 1, false), &[web()])?;
    room.bring_up()?;
    Ok(room)
}

fn web() -> Lease {
    let port = |protocol| Port { protocol, address: None, host: 8080, container: 80 };
    let mut web =
        Lease { ports: vec![port(Protocol::Tcp), port(Protocol::Udp)], ..lease("web", 1, 2) };
    web.addresses.truncate(1);
    web
}

fn both_ways() -> Result<(), Failed> {
    let _room = room()?;
    let server = TcpListener::bind(INNER)?;
    let served = thread::spawn(move || -> std::io::Result<String> {
        let mut stream = server.accept()?.0;
        let mut asked = String::new();
        // Until the client says that it has said all.
        stream.read_to_string(&mut asked)?;
        stream.write_all(b"answer")?;
        Ok(asked)
    });
    let mut client = tcp("::1", OUTER)?;
    client.write_all(b"question")?;
    client.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    assert_eq!(
        (served.join().expect("no panic")?.as_str(), answer.as_str()),
        ("question", "answer")
    );
    Ok(())
}

fn back_pressure() -> Result<(), Failed> {
    let _room = room()?;
    let server = TcpListener::bind(INNER)?;
    let mut client = tcp("::1", OUTER)?;
    client.write_all(b"go")?;
    let mut stream = server.accept()?.0;
    stream.read_exact(&mut [0; 2])?;
    // Nobody reads: at some point nothing more can be written.
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    let (block, most) = (vec![7; 1 << 16], 256 << 20);
    let mut written = 0;
    let stalled = loop {
        match stream.write(&block) {
            Ok(length) => written += length,
            Err(error) => break error,
        }
        assert!(written < most, "{written} bytes are kept for one who does not read");
    };
    assert!(matches!(stalled.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{stalled}");
    stream.set_write_timeout(None)?;
    let writer = thread::spawn(move || stream.write_all(&block));
    let mut all = Vec::new();
    client.read_to_end(&mut all)?;
    writer.join().expect("no panic")?;
    assert_eq!(all.len(), written + (1 << 16));
    assert!(all.iter().all(|byte| *byte == 7));
    Ok(())
}

fn a_break() -> Result<(), Failed> {
    let _room = room()?;
    let is_reset = |client: &mut std::net::TcpStream| {
        let read = client.read(&mut [0; 8]);
        assert!(read.as_ref().is_err_and(|e| e.kind() == ErrorKind::ConnectionReset), "{read:?}");
    };
    is_reset(&mut tcp("::1", OUTER)?);
    let server = TcpListener::bind(INNER)?;
    let mut client = tcp("::1", OUTER)?;
    client.write_all(b"what is not read")?;
    let stream = server.accept()?.0;
    wait_until("it has come", patience(), || stream.peek(&mut [0; 1]).is_ok_and(|n| n == 1))?;
    drop(stream);
    is_reset(&mut client);
    Ok(())
}

fn ends_with_the_container() -> Result<(), Failed> {
    let room = room()?;
    let server = TcpListener::bind(INNER)?;
    let mut client = tcp("::1", OUTER)?;
    client.write_all(b"go")?;
    let mut stream = server.accept()?.0;
    room.write(&network("bridge", 1, false), &[])?;
    room.bring_up()?;
    let mut all = Vec::new();
    assert!(stream.read_to_end(&mut all).is_ok() || all == b"go");
    assert!(client.read(&mut [0; 8]).map_or(true, |length| length == 0), "it still goes through");
    assert!(tcp("::1", OUTER).is_err(), "it still listens");
    Ok(())
}

fn many() -> Result<(), Failed> {
    let _room = room()?;
    let server = TcpListener::bind(INNER)?;
    thread::spawn(move || {
        for stream in server.incoming().flatten() {
            thread::spawn(move || {
                let mut both = (stream.try_clone().expect("a descriptor"), stream);
                std::io::copy(&mut both.0, &mut both.1)
            });
        }
    });
    let clients = (0..50_u32).map(|number| {
        thread::spawn(move || -> std::io::Result<bool> {
            let mut client = tcp("::1", OUTER).map_err(|_| ErrorKind::Other)?;
            let sent = number.to_le_bytes().repeat(10_000);
            let mut writing = client.try_clone()?;
            let copy = sent.clone();
            let writer = thread::spawn(move || {
                writing.write_all(&copy).and_then(|()| writing.shutdown(Shutdown::Write))
            });
            let mut came = Vec::new();
            client.read_to_end(&mut came)?;
            writer.join().expect("no panic")?;
            Ok(came == sent)
        })
    });
    for client in clients.collect::<Vec<_>>() {
        assert!(client.join().expect("no panic")?);
    }
    Ok(())
}

/// Says back what it hears.
fn echo() -> Result<(), Failed> {
    let socket = UdpSocket::bind(INNER)?;
    thread::spawn(move || {
        let mut packet = vec![0; 65535];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let _ = socket.send_to(&packet[..length], from);
        }
    });
    Ok(())
}

fn datagrams() -> Result<(), Failed> {
    let _room = room()?;
    echo()?;
    let clients: Vec<UdpSocket> = (0..20).map(|_| udp("::1", OUTER)).collect::<Result<_, _>>()?;
    for round in 0..3_u8 {
        for (client, number) in clients.iter().zip(0..) {
            client.send(&[round, number])?;
        }
        for (client, number) in clients.iter().zip(0..) {
            let mut packet = [0; 16];
            assert_eq!(client.recv(&mut packet)?, 2);
            assert_eq!(packet[..2], [round, number]);
        }
    }
    let large = vec![9; 60_000];
    clients[0].send(&large)?;
    let mut packet = vec![0; 65535];
    let length = clients[0].recv(&mut packet)?;
    assert_eq!(packet[..length], large);
    // Nothing in it is a datagram, too.
    clients[0].send(&[])?;
    assert_eq!(clients[0].recv(&mut packet)?, 0);
    Ok(())
}

fn many_senders() -> Result<(), Failed> {
    let room = room()?;
    echo()?;
    let mut ports = BTreeSet::new();
    let first = udp("::1", OUTER)?;
    for batch in 0..15_u32 {
        let clients = (0..100).map(|_| udp("::1", OUTER)).collect::<Result<Vec<_>, _>>()?;
        for (client, number) in clients.iter().zip(batch * 100..) {
            ports.insert(client.local_addr()?.port());
            client.send(&number.to_le_bytes())?;
        }
        for (client, number) in clients.iter().zip(batch * 100..) {
            let mut packet = [0; 16];
            assert_eq!(client.recv(&mut packet)?, 4);
            assert_eq!(packet[..4], number.to_le_bytes());
        }
    }
    assert!(ports.len() > 1024, "{}", ports.len());
    let open = std::fs::read_dir(room.proc()?.join("fd"));
    // An ordinary user's is another's once it is nobody: only root can look.
    if let Ok(open) = open {
        assert!(open.count() < 1100);
    }
    first.send(b"still")?;
    assert_eq!(first.recv(&mut [0; 16])?, 5);
    Ok(())
}

fn nobody_listens() -> Result<(), Failed> {
    let _room = room()?;
    let client = udp("::1", OUTER)?;
    for _ in 0..10 {
        client.send(b"lost")?;
    }
    echo()?;
    // Some of the first may still be under way.
    client.set_read_timeout(Some(Duration::from_millis(50)))?;
    wait_until("one comes back", patience(), || {
        client.send(b"heard").is_ok() && client.recv(&mut [0; 16]).is_ok_and(|length| length == 5)
    })
}

/// Where a port is a socket for all addresses, whoever asks one of them hears only that one.
fn same_address() -> Result<(), Failed> {
    let room = Room::new(Home::Apart { resolver: None });
    room.add_network("bridge", 1, false)?;
    room.write(&network("bridge", 1, false), &[web()])?;
    room.bring_up()?;
    echo()?;
    let asked = ["127.0.0.1", "127.9.9.9", "172.18.0.1", "172.18.0.4", "::1", "fd00:1::1"];
    for at in asked.iter().chain(["fd00:1::4", "127.0.0.1"].iter()) {
        let at: std::net::IpAddr = at.parse()?;
        let from = if at.is_ipv4() { "172.18.0.3" } else { "fd00:1::3" };
        let client = udp(from, &std::net::SocketAddr::new(at, 8080).to_string())?;
        for word in ["first", "second"] {
            client.send(word.as_bytes())?;
            let mut packet = [0; 16];
            let length = client.recv(&mut packet)?;
            assert_eq!(&packet[..length], word.as_bytes(), "{at}");
        }
    }
    // The same client is another's flow for another address.
    let client = UdpSocket::bind("172.18.0.3:0")?;
    client.set_read_timeout(Some(patience()))?;
    for at in ["172.18.0.1:8080", "172.18.0.4:8080", "172.18.0.1:8080"] {
        client.send_to(at.as_bytes(), at)?;
        let mut packet = [0; 32];
        let (length, from) = client.recv_from(&mut packet)?;
        assert_eq!((&packet[..length], from.to_string().as_str()), (at.as_bytes(), at));
    }
    Ok(())
}

/// 32 MiB each way at the same time, no two blocks alike.
fn large() -> Result<(), Failed> {
    const BLOCKS: u32 = 512;
    fn block(number: u32) -> Vec<u8> {
        (0..1 << 14)
            .flat_map(|at: u32| (number ^ at.wrapping_mul(0x9e37_79b9)).to_le_bytes())
            .collect()
    }
    fn both(stream: std::net::TcpStream) -> std::io::Result<()> {
        let mut writing = stream.try_clone()?;
        let writer = thread::spawn(move || {
            (0..BLOCKS).try_for_each(|number| writing.write_all(&block(number)))?;
            writing.shutdown(Shutdown::Write)
        });
        let (mut reading, mut came) = (stream, vec![0; 1 << 16]);
        for number in 0..BLOCKS {
            reading.read_exact(&mut came)?;
            assert!(came == block(number), "block {number}");
        }
        assert_eq!(reading.read(&mut came)?, 0, "more than was sent");
        writer.join().expect("no panic")
    }
    let _room = room()?;
    let server = TcpListener::bind(INNER)?;
    let served = thread::spawn(move || both(server.accept()?.0));
    both(tcp("::1", OUTER)?)?;
    Ok(served.join().expect("no panic")?)
}
