//! Catalogue: not needed to understand the chapter.
//!
//! Which ports of the host are given to those that are to be published.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;

use ch01_clone::{Error, Result};

use crate::ports::Publish;
use crate::{Port, Protocol};

/// Where free ports are looked for, unless the kernel says otherwise.
const USUAL: RangeInclusive<u16> = 32_768..=60_999;

/// Finds a port of the host for each. `taken` are those of all other containers; what a
/// program of the host listens on is not free either.
pub fn choose(wanted: &[Publish], taken: &[Port]) -> Result<Vec<Port>> {
    let mut chosen: Vec<Port> = Vec::new();
    for publish in wanted {
        let port = |host| Port {
            protocol: publish.protocol,
            address: publish.address,
            host,
            container: publish.container,
        };
        let free = |port: &Port| !taken.iter().chain(&chosen).any(|other| clash(port, other));
        let one = match publish.host {
            Some((only, last)) if only == last => {
                let port = port(only);
                if !free(&port) {
                    let place = place(port.address, only);
                    return Err(Error::new(format!(
                        "Bind for {place} failed: port is already allocated"
                    )));
                }
                listen(&port)?;
                port
            }
            range => {
                let range = range.map_or_else(usual, |(first, last)| first..=last);
                let mut free = range.map(port).filter(|port| free(port));
                free.find(|port| listen(port).is_ok())
                    .ok_or_else(|| Error::new("all ports are allocated"))?
            }
        };
        chosen.push(one);
    }
    Ok(chosen)
}

/// Whether both cannot be.
fn clash(one: &Port, other: &Port) -> bool {
    let beside = match (one.address, other.address) {
        (Some(a), Some(b)) if a.is_ipv4() == b.is_ipv4() => {
            a != b && !a.is_unspecified() && !b.is_unspecified()
        }
        (Some(_), Some(_)) => true,
        _ => false,
    };
    one.protocol == other.protocol && one.host == other.host && !beside
}

/// Tries to listen there.
fn listen(port: &Port) -> Result<()> {
    let any = IpAddr::from([0, 0, 0, 0]);
    let address = port.address.unwrap_or(any);
    let tried = match port.protocol {
        Protocol::Tcp => TcpListener::bind((address, port.host)).map(drop),
        Protocol::Udp => UdpSocket::bind((address, port.host)).map(drop),
    };
    tried.map_err(|error| {
        let place = place(port.address, port.host);
        Error::new(format!("failed to bind host port {place}/{}: {error}", port.protocol.name()))
    })
}

/// `0.0.0.0:8080`
fn place(address: Option<IpAddr>, port: u16) -> String {
    match address {
        None => format!("0.0.0.0:{port}"),
        Some(address) => SocketAddr::from((address, port)).to_string(),
    }
}

fn usual() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let numbers = text.unwrap_or_default();
    let mut numbers = numbers.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) => first..=last,
        _ => USUAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::publish;

    #[test]
    fn a_port_has_one_holder_an_address() {
        let port = |address: &str, host| {
            let address = (!address.is_empty()).then(|| address.parse().unwrap());
            Port { protocol: Protocol::Tcp, address, host, container: 80 }
        };
        assert!(clash(&port("", 90), &port("127.0.0.1", 90)));
        assert!(clash(&port("0.0.0.0", 90), &port("127.0.0.1", 90)));
        assert!(!clash(&port("0.0.0.0", 90), &port("::1", 90)));
        assert!(!clash(&port("127.0.0.1", 90), &port("127.0.0.2", 90)));
        assert!(!clash(&port("", 90), &port("", 91)));
        assert!(!clash(&port("", 90), &Port { protocol: Protocol::Udp, ..port("", 90) }));
    }

    #[test]
    fn a_port_is_chosen_that_nobody_has() {
        let busy = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let number = busy.local_addr().unwrap().port();
        let wanted = |text: &str| publish(text).unwrap();
        let taken = choose(&wanted(&format!("127.0.0.1:{number}:80")), &[]);
        assert!(taken.unwrap_err().to_string().contains("failed to bind host port"));
        let one = choose(&wanted("127.0.0.1::80"), &[]).unwrap();
        let again = choose(&wanted("127.0.0.1::80"), &one).unwrap();
        assert_ne!(one[0].host, again[0].host);
        let held = choose(&wanted(&format!("127.0.0.1:{}:80", one[0].host)), &one);
        let words = format!("Bind for 127.0.0.1:{} failed: port is already allocated", one[0].host);
        assert_eq!(held.unwrap_err().to_string(), words);
    }
}
