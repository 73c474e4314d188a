//! Catalogue: not needed to understand the chapter.
//!
//! Whom this host asks for names: resolv.conf(5).
//!
//! A loopback address is this host's own: in a container's network namespace nobody
//! listens there. Where it is systemd-resolved that does (127.0.0.53), the servers
//! behind it are in a file of its own (systemd-resolved.service(8)).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

/// The file that all of libc's programs read.
pub const FILE: &str = "/etc/resolv.conf";

/// The same without systemd-resolved's own address: whom it asks.
pub const BEHIND_RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// Who is asked when no other is left, as docker does.
const PUBLIC: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))];

/// What a resolv.conf says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolvers {
    /// Port 53 of each server, in the order in which they are asked. A link-local
    /// address has the index of its link as scope id (RFC 4007).
    pub servers: Vec<SocketAddr>,
    /// The domains that are tried after a short name.
    pub search: Vec<String>,
    /// Options, as they are written: `ndots:2`.
    pub options: Vec<String>,
}

impl Resolvers {
    /// For who is in the host's network namespace: loopback addresses are fine there.
    pub fn of_host() -> Resolvers {
        read(Path::new(FILE))
    }

    /// For who is in another network namespace.
    pub fn of_others() -> Resolvers {
        elsewhere(&read(Path::new(FILE)), || read(Path::new(BEHIND_RESOLVED)))
    }

    /// Reads the text of a resolv.conf. What is not understood is passed over, as libc does.
    pub fn parse(text: &str) -> Resolvers {
        let mut resolvers = Resolvers::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let words = (words.next(), words.map(str::to_owned));
            match words {
                (Some("nameserver"), mut words) => {
                    resolvers.servers.extend(words.next().and_then(|word| server(&word)));
                }
                // The last one counts, of `domain` and `search` together.
                (Some("search" | "domain"), words) => resolvers.search = words.collect(),
                (Some("options"), words) => resolvers.options.extend(words),
                _ => {}
            }
        }
        resolvers
    }
}

/// A file that is not there names nobody.
fn read(file: &Path) -> Resolvers {
    Resolvers::parse(&fs::read_to_string(file).unwrap_or_default())
}

/// `fe80::1%eth0` is an address and the link on which it is.
fn server(word: &str) -> Option<SocketAddr> {
    match word.split_once('%') {
        None => Some(SocketAddr::new(word.parse().ok()?, 53)),
        Some((address, link)) => {
            let scope = link.parse().ok().or_else(|| nix::net::if_::if_nametoindex(link).ok())?;
            Some(SocketAddrV6::new(address.parse().ok()?, 53, 0, scope).into())
        }
    }
}

/// What is left of `here` in another network namespace: no loopback, no link-local.
fn elsewhere(here: &Resolvers, behind: impl FnOnce() -> Resolvers) -> Resolvers {
    let reached = |from: &Resolvers| {
        let servers = from.servers.iter().copied();
        servers.filter(|server| !is_local(*server)).collect::<Vec<_>>()
    };
    let mut servers = reached(here);
    if servers.is_empty() {
        servers = reached(&behind());
    }
    if servers.is_empty() {
        servers = PUBLIC.map(|address| SocketAddr::new(address, 53)).to_vec();
    }
    Resolvers { servers, ..here.clone() }
}

fn is_local(server: SocketAddr) -> bool {
    match server.ip() {
        // glibc takes 0.0.0.0 for this host.
        IpAddr::V4(address) => address.is_loopback() || address.is_unspecified(),
        IpAddr::V6(address) => {
            let mapped = address.to_ipv4_mapped().is_some_and(|address| address.is_loopback());
            let here = address.is_loopback() || address.is_unspecified();
            here || mapped || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Resolvers, elsewhere};

    fn servers(resolvers: &Resolvers) -> String {
        resolvers.servers.iter().map(|s| format!("{s} ")).collect()
    }

    #[test]
    fn a_file_is_read_as_libc_does() {
        let text = "# nameserver 9.9.9.9\n;x\nnameserver 10.0.0.1 # first\n\tnameserver ::1\n\
                    nameserver fe80::1%7\nnameserver nonsense\nnameserver\nnameserverx 1.1.1.1\n\
                    domain old.example\nsearch a.example b.example\noptions ndots:2\noptions edns0 trust-ad\n";
        let read = Resolvers::parse(text);
        assert_eq!(servers(&read), "10.0.0.1:53 [::1]:53 [fe80::1%7]:53 ");
        assert_eq!(read.search, ["a.example", "b.example"]);
        assert_eq!(read.options, ["ndots:2", "edns0", "trust-ad"]);
        let link = Resolvers::parse("nameserver fe80::2%lo\nnameserver fe80::3%no-such-link");
        assert_eq!(servers(&link), "[fe80::2%1]:53 ");
    }

    #[test]
    fn elsewhere_nothing_of_this_host_is_reached() {
        let here = Resolvers::parse("nameserver 127.0.0.1\nnameserver 10.0.0.1\nsearch a\n");
        let left = elsewhere(&here, || panic!("there is one"));
        assert_eq!((servers(&left).as_str(), left.search), ("10.0.0.1:53 ", vec!["a".to_owned()]));

        let stub = Resolvers::parse("nameserver 127.0.0.53\noptions edns0\nsearch b\n");
        let behind = || Resolvers::parse("nameserver 10.0.0.2\nnameserver fe80::1%2\nsearch c\n");
        let left = elsewhere(&stub, behind);
        assert_eq!(servers(&left), "10.0.0.2:53 ");
        assert_eq!((left.search, left.options), (vec!["b".to_owned()], vec!["edns0".to_owned()]));

        let only =
            Resolvers::parse("nameserver ::1\nnameserver 0.0.0.0\nnameserver ::ffff:127.0.0.1");
        assert_eq!(servers(&elsewhere(&only, Resolvers::default)), "8.8.8.8:53 8.8.4.4:53 ");
    }
}
