//! Catalogue: not needed to understand the chapter.
//!
//! Which ports of the host are given to those that are to be published.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;

use ch01_clone::{Error, Result};

use crate::ports::Publish;
use crate::{Networks, Port, Protocol};

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
        let free = |port: &Port| !taken.iter().chain(&chosen).any(|other| collide(port, other));
        let one = match publish.host {
            Some((only, last)) if only == last => {
                let port = port(only);
                if !free(&port) {
                    return Err(allocated(&port));
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

impl Networks {
    /// Whether nobody has published one of these.
    pub(crate) fn ports_free(&self, ports: &[Port]) -> Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        for network in self.list() {
            for other in self.leases(network)?.iter().flat_map(|lease| &lease.ports) {
                if let Some(port) = ports.iter().find(|port| collide(port, other)) {
                    return Err(allocated(port));
                }
            }
        }
        Ok(())
    }
}

/// Whether both would be the same door. No address means all of them.
fn collide(one: &Port, other: &Port) -> bool {
    let meet = match (one.address, other.address) {
        (Some(one), Some(other)) => {
            let all = one.is_unspecified() || other.is_unspecified();
            one == other || one.is_ipv4() == other.is_ipv4() && all
        }
        _ => true,
    };
    meet && (one.protocol, one.host) == (other.protocol, other.host)
}

/// In docker's words: `Bind for :::8080 failed`.
fn allocated(port: &Port) -> Error {
    let address = port.address.unwrap_or(IpAddr::from([0, 0, 0, 0]));
    Error::new(format!("Bind for {address}:{} failed: port is already allocated", port.host))
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
        assert!(collide(&port("", 90), &port("127.0.0.1", 90)));
        assert!(collide(&port("0.0.0.0", 90), &port("127.0.0.1", 90)));
        assert!(!collide(&port("0.0.0.0", 90), &port("::1", 90)));
        assert!(!collide(&port("127.0.0.1", 90), &port("127.0.0.2", 90)));
        assert!(!collide(&port("", 90), &port("", 91)));
        assert!(!collide(&port("", 90), &Port { protocol: Protocol::Udp, ..port("", 90) }));
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
