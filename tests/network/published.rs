//! A container that was attached with a port, and those who ask for it.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use ch04_network::{Ask, Port, Protocol};
use dockster_tests::{Failed, scaled};

use crate::hosts::{Dockster, Netns, Part, ask, links};

pub const PARTS: &[Part] = &[("an_attached_container_is_found_at_its_published_port", found)];

fn found() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    let port = Port { protocol: Protocol::Tcp, address: None, host: 8080, container: 80 };
    let wish = Ask { ports: vec![port], ..ask("web", "bridge") };
    let (web, neighbour) = (Netns::new()?, Netns::new()?);
    let lease = dockster.lock()?.attach(web.0.as_fd(), &[wish])?.remove(0);
    dockster.lock()?.attach(neighbour.0.as_fd(), &[ask("other", "bridge")])?;
    let gateway = dockster.lock()?.find("bridge")?.ranges[0].gateway;
    // It is accepted by the kernel, before anybody takes it.
    let _listener = web.inside(|| TcpListener::bind("0.0.0.0:80"))?;
    let reaches = |address: IpAddr, port| {
        let limit = scaled(Duration::from_secs(10));
        TcpStream::connect_timeout(&SocketAddr::new(address, port), limit)
    };
    reaches("127.0.0.1".parse()?, 8080)?;
    reaches(lease.addresses[0].addr(), 80)?;
    // From a neighbour, and from itself: back by the port of the bridge that it came in by.
    neighbour.inside(move || reaches(gateway, 8080))?;
    web.inside(move || reaches(gateway, 8080))?;
    for who in ["web", "other"] {
        dockster.lock()?.detach(who)?;
    }
    assert_eq!(links()?, Vec::<String>::new());
    Ok(())
}
