//! netd: what it may do, how long it lives, and what it is told.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::slice::from_ref;

use ch04_network::netd::{Home, Netd};
use ch04_network::{Lease, Port, Protocol, Reach, Service, Work, services};
use dockster_tests::{Failed, wait_until};
use rustix::fs::{FlockOperation, flock};

use crate::names::ask;
use crate::room::{Part, Room, lease, network, patience};

pub const PARTS: &[Part] = &[
    ("netd_is_nobody_and_can_do_nothing", nobody),
    ("netd_services_follow_from_what_is_written", services_follow),
    ("netd_ends_with_the_last_service", ends),
    ("netd_stays_while_somebody_has_the_lock", stays),
    ("netd_apart_ends_with_the_last_lease", apart_ends),
    ("netd_killed_is_started_again", killed),
    ("netd_lets_go_before_it_answers", lets_go),
    ("netd_serves_hundreds", hundreds),
    ("netd_takes_only_the_sockets_it_was_promised", other_sockets),
    ("netd_that_does_not_start_is_an_error", does_not_start),
];

fn text(error: impl std::fmt::Display) -> Failed {
    error.to_string().into()
}

fn field(room: &Room, name: &str) -> Result<String, Failed> {
    let status = fs::read_to_string(room.proc()?.join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    Ok(line.ok_or("no such field")?.trim().to_owned())
}

fn nobody() -> Result<(), Failed> {
    let room = Room::with_network(Home::Host, "front", 1, false)?;
    assert_eq!(ask("web.")?, "172.18.0.2");
    let none = "0".repeat(16);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(&room, set)?, none, "{set}");
    }
    assert_eq!((field(&room, "NoNewPrivs")?, field(&room, "Threads")?), ("1".into(), "1".into()));
    // In a user namespace with one id there is nobody else to be.
    let is_root = fs::read_to_string("/proc/self/uid_map")?.trim().ends_with("4294967295");
    if is_root {
        assert_eq!(field(&room, "Groups")?, "");
        for ids in ["Uid", "Gid"] {
            assert_eq!(field(&room, ids)?, "65534\t65534\t65534\t65534");
        }
    } else {
        assert_eq!(field(&room, "Uid")?, "0\t0\t0\t0");
    }
    Ok(())
}

fn published(name: &str, number: u8, host: u8, ports: &[(Protocol, Option<&str>, u16)]) -> Lease {
    let ports = ports.iter().map(|(protocol, address, port)| Port {
        protocol: *protocol,
        address: address.map(|address| address.parse().expect("an address")),
        host: *port,
        container: 80,
    });
    Lease { ports: ports.collect(), ..lease(name, number, host) }
}

fn services_follow() -> Result<(), Failed> {
    use Protocol::{Tcp, Udp};
    let shown = |reach, name: &str, leases: &[Lease]| {
        let network = network(name, 1, false);
        let all = services([(&network, leases)], reach).into_iter().map(|service| {
            let to = match service.work {
                Work::Names => "names".to_owned(),
                Work::Port { to, .. } => to.to_string(),
            };
            format!("{:?} {} {to}", service.protocol, service.at)
        });
        all.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(shown(Reach::Host, "front", &[]), "");
    assert_eq!(shown(Reach::Host, "bridge", &[lease("web", 1, 2)]), "");
    let names = "Udp 172.18.0.1:53 names, Tcp 172.18.0.1:53 names, \
                 Udp [fd00:1::1]:53 names, Tcp [fd00:1::1]:53 names";
    assert_eq!(shown(Reach::Host, "front", &[lease("web", 1, 2)]), names);
    let ports = [
        (Tcp, None, 1),
        (Udp, Some("::"), 2),
        (Tcp, Some("::1"), 3),
        (Tcp, Some("127.0.0.1"), 4),
        (Udp, Some("0.0.0.0"), 5),
    ];
    let mut web = published("web", 1, 2, &ports);
    assert_eq!(
        shown(Reach::Host, "bridge", &[web.clone()]),
        "Tcp [::1]:1 [fd00:1::2]:80, Udp [::1]:2 [fd00:1::2]:80, Tcp [::1]:3 [fd00:1::2]:80"
    );
    assert_eq!(
        shown(Reach::Apart, "bridge", &[web.clone()]),
        "Tcp 0.0.0.0:1 172.18.0.2:80, Tcp [::]:1 [fd00:1::2]:80, Udp [::]:2 [fd00:1::2]:80, \
         Tcp [::1]:3 [fd00:1::2]:80, Tcp 127.0.0.1:4 172.18.0.2:80, Udp 0.0.0.0:5 172.18.0.2:80"
    );
    web.addresses.truncate(1);
    web.ports.truncate(1);
    assert_eq!(shown(Reach::Host, "bridge", &[web]), "Tcp [::1]:1 172.18.0.2:80");
    Ok(())
}

fn ends() -> Result<(), Failed> {
    let room = Room::with_network(Home::Host, "front", 1, false)?;
    room.leases("front", &[])?;
    room.bring_up()?;
    wait_until("netd has ended", patience(), || room.is_over())?;
    // And also when nobody says so.
    room.leases("front", &[lease("web", 1, 2)])?;
    room.bring_up()?;
    assert!(!room.is_over());
    room.leases("front", &[])?;
    wait_until("netd has ended", patience(), || room.is_over())?;
    assert!(Netd::connect(&room.dir).map_err(text)?.is_none());
    room.bring_up()?;
    assert!(room.is_over(), "it was started for nothing");
    Ok(())
}

fn stays() -> Result<(), Failed> {
    let room = Room::with_network(Home::Host, "front", 1, false)?;
    let dir = fs::File::open(&room.dir)?;
    flock(&dir, FlockOperation::LockExclusive)?;
    let first = room.pid();
    room.leases("front", &[])?;
    room.bring_up()?;
    // It looks every few seconds; a command that takes longer than that still has it.
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert!(!room.is_over(), "it ended under the eyes of a command");
    room.leases("front", &[lease("client", 1, 3), lease("web", 1, 2)])?;
    room.bring_up()?;
    flock(&dir, FlockOperation::Unlock)?;
    assert_eq!((ask("web.")?, room.pid()), ("172.18.0.2".into(), first));
    Ok(())
}

fn apart_ends() -> Result<(), Failed> {
    let room = Room::new(Home::Apart { resolver: None });
    room.add_network("front", 1, false)?;
    room.write(&network("bridge", 2, false), &[lease("other", 2, 2)])?;
    room.bring_up()?;
    room.leases("front", &[])?;
    room.bring_up()?;
    // Nothing is served, but it holds the network namespace.
    let netd = Netd::connect(&room.dir).map_err(text)?.ok_or("it is gone")?;
    assert_eq!(netd.pid(), room.pid());
    drop(netd);
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert!(!room.is_over(), "it ended before the last lease");
    room.leases("bridge", &[])?;
    wait_until("netd has ended", patience(), || room.is_over())
}

fn killed() -> Result<(), Failed> {
    let room = Room::with_network(Home::Host, "front", 1, false)?;
    let first = room.pid();
    if let Some(netd) = room.netd.borrow_mut().as_mut() {
        netd.kill()?;
        netd.wait()?;
    }
    room.bring_up()?;
    assert_ne!(room.pid(), first);
    assert_eq!(ask("web.")?, "172.18.0.2");
    // What is served already is not opened again.
    let second = room.pid();
    room.bring_up()?;
    assert_eq!((room.pid(), ask("web.")?), (second, "172.18.0.2".into()));
    Ok(())
}

fn lets_go() -> Result<(), Failed> {
    let room = Room::with_network(Home::Host, "front", 1, false)?;
    for _ in 0..20 {
        let ports = [(Protocol::Tcp, None, 8080), (Protocol::Udp, None, 8080)];
        room.leases("front", &[published("web", 1, 2, &ports)])?;
        room.bring_up()?;
        assert!(TcpListener::bind("[::1]:8080").is_err() && UdpSocket::bind("[::1]:8080").is_err());
        room.leases("front", &[])?;
        room.bring_up()?;
        // As a command does that comes next.
        drop((TcpListener::bind("[::1]:8080")?, UdpSocket::bind("[::1]:8080")?));
        drop((TcpListener::bind("172.18.0.1:53")?, UdpSocket::bind("[fd00:1::1]:53")?));
    }
    Ok(())
}

fn hundreds() -> Result<(), Failed> {
    let room = Room::with_network(Home::Host, "front", 1, false)?;
    let ports: Vec<_> = (20_000..20_300).map(|port| (Protocol::Tcp, None, port)).collect();
    room.leases("front", &[published("web", 1, 2, &ports), lease("client", 1, 3)])?;
    room.bring_up()?;
    for port in [20_000, 20_063, 20_064, 20_299] {
        assert!(TcpListener::bind(("::1", port)).is_err(), "{port} is not served");
    }
    assert_eq!(ask("web.")?, "172.18.0.2");
    Ok(())
}

fn other_sockets() -> Result<(), Failed> {
    let room = Room::with_network(Home::Host, "front", 1, false)?;
    let netd = Netd::connect(&room.dir).map_err(text)?.ok_or("it is gone")?;
    let at: SocketAddr = "[::1]:8080".parse()?;
    let work = Work::Port { container: "c".into(), to: "172.18.0.2:80".parse()? };
    let service = Service { network: "front".into(), protocol: Protocol::Tcp, at, work };
    let elsewhere = TcpListener::bind("[::1]:8081")?;
    assert!(netd.give(from_ref(&service), &[elsewhere.into()]).is_err(), "another address");
    let datagrams = UdpSocket::bind(at)?;
    assert!(netd.give(from_ref(&service), &[datagrams.into()]).is_err(), "another type");
    assert!(netd.give(from_ref(&service), &[fs::File::open("/")?.into()]).is_err(), "no socket");
    netd.give(from_ref(&service), &[TcpListener::bind(at)?.into()]).map_err(text)?;
    // No lease says so: it is let go of before anything is said of it.
    assert_eq!(netd.missing(from_ref(&service)).map_err(text)?, [service]);
    TcpListener::bind(at)?;
    assert_eq!(ask("web.")?, "172.18.0.2");
    Ok(())
}

fn does_not_start() -> Result<(), Failed> {
    let room = Room::new(Home::Host);
    let ended = Netd::ensure(&room.dir, |_| Ok(())).map(drop).map_err(text);
    let message = ended.expect_err("nobody is there").message().unwrap_or("").to_owned();
    assert!(message.contains("netd ended as soon as it was started"), "{message}");
    room.add_network("front", 1, false)?;
    room.bring_up()?;
    assert_eq!(ask("web.")?, "172.18.0.2");
    Ok(())
}
