//! The proxy: what goes in at a published port comes out at the container, and back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;
use std::time::Duration;

use ch04_network::netd::Home;
use ch04_network::{Lease, Port, Protocol};
use dockster_tests::{Failed, wait_until};

use crate::room::{Part, Room, lease, network, patience, tcp};

pub const PARTS: &[Part] = &[
    ("proxy_passes_on_what_either_sends_and_that_it_ended", both_ways),
    ("proxy_an_end_is_passed_on_from_either_side", the_other_way),
    ("proxy_who_does_not_read_stops_who_writes", back_pressure),
    ("proxy_a_break_is_passed_on", a_break),
    ("proxy_ends_with_its_container", ends_with_the_container),
    ("proxy_serves_many_at_a_time", many),
    ("proxy_what_is_large_arrives_whole", large),
];

pub const OUTER: &str = "[::1]:8080";
pub const INNER: &str = "172.18.0.2:80";

/// `web` at 172.18.0.2, whose port 80 is the host's 8080 at `::1`.
pub fn room() -> Result<Room, Failed> {
    let room = Room::new(Home::Host);
    room.add_network("bridge", 1, false)?;
    room.write(&network("bridge", 1, false), &[web()])?;
    room.bring_up()?;
    Ok(room)
}

pub fn web() -> Lease {
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

/// The other way round: who was called has said all, and still listens.
fn the_other_way() -> Result<(), Failed> {
    let _room = room()?;
    let server = TcpListener::bind(INNER)?;
    let mut client = tcp("::1", OUTER)?;
    let mut stream = server.accept()?.0;
    stream.write_all(b"answer")?;
    stream.shutdown(Shutdown::Write)?;
    let (mut answer, mut rest) = (String::new(), String::new());
    client.read_to_string(&mut answer)?;
    client.write_all(b"and one more question")?;
    drop(client);
    stream.read_to_string(&mut rest)?;
    assert_eq!((answer.as_str(), rest.as_str()), ("answer", "and one more question"));
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
