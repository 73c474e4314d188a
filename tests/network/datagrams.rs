//! The proxy for datagrams: each finds its way back, and comes from where it was sent to.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use ch04_network::netd::Home;
use dockster_tests::{Failed, wait_until};

use crate::proxy::{INNER, OUTER, room, web};
use crate::room::{Part, Room, network, patience, udp};

pub const PARTS: &[Part] = &[
    ("proxy_datagrams_find_their_way_back", datagrams),
    ("proxy_has_room_for_so_many_senders", many_senders),
    ("proxy_datagrams_to_nobody_are_lost", nobody_listens),
    ("proxy_answers_come_from_the_address_that_was_asked", same_address),
];

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
    // A datagram may be lost: whoever waits for an answer asks again.
    let soon = Some(Duration::from_millis(500));
    for at in asked.iter().chain(["fd00:1::4", "127.0.0.1"].iter()) {
        let at = SocketAddr::new(at.parse()?, 8080);
        let client = udp(if at.is_ipv4() { "172.18.0.3" } else { "fd00:1::3" }, &at.to_string())?;
        client.set_read_timeout(soon)?;
        for word in ["first", "second"] {
            let mut packet = [0; 16];
            wait_until(&format!("{at} says {word}"), patience(), || {
                client.send(word.as_bytes()).is_ok()
                    && client.recv(&mut packet).is_ok_and(|n| packet[..n] == *word.as_bytes())
            })?;
        }
    }
    // The same client is another's flow for another address.
    let client = UdpSocket::bind("172.18.0.3:0")?;
    client.set_read_timeout(soon)?;
    for at in ["172.18.0.1:8080", "172.18.0.4:8080", "172.18.0.1:8080"] {
        let at: SocketAddr = at.parse()?;
        let mut packet = [0; 32];
        wait_until(&format!("{at} answers"), patience(), || {
            client.send_to(b"who", at).is_ok()
                && client.recv_from(&mut packet).is_ok_and(|answer| answer == (3, at))
        })?;
    }
    Ok(())
}
