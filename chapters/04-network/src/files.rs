//! Catalogue: not needed to understand the chapter.
//!
//! The three files by which programs find names (hosts(5), hostname(5), resolv.conf(5)), as
//! docker writes them for a container.

use std::fmt::Write;
use std::net::IpAddr;

use ch01_clone::{Error, Result};
use serde::{Deserialize, Serialize};

/// What stands in every `/etc/hosts`.
const HOSTS: &str = "\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

/// The word in `--add-host` for the address by which a container reaches its host.
const GATEWAY: &str = "host-gateway";

/// A line that `--add-host` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extra {
    /// The name.
    pub name: String,
    /// Its address; `None`: the host's, as the container sees it.
    pub address: Option<IpAddr>,
}

/// What `--add-host` says: `NAME:ADDRESS`, or `NAME=ADDRESS`; an address of IPv6 may have
/// brackets.
pub fn extra(text: &str) -> Result<Extra> {
    let bad = || Error::new(format!("bad format for add-host: {text:?}"));
    let cut = text.split_once('=').or_else(|| text.split_once(':'));
    let (name, address) = cut.filter(|(name, _)| !name.is_empty()).ok_or_else(bad)?;
    let name = name.to_owned();
    if address == GATEWAY {
        return Ok(Extra { name, address: None });
    }
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let parsed = bare.unwrap_or(address).parse();
    let address =
        parsed.map_err(|_| Error::new(format!("invalid IP address in add-host: {address:?}")))?;
    Ok(Extra { name, address: Some(address) })
}

/// `/etc/hosts`: the usual, what was asked for, and the container's own addresses. `host` is
/// where a container reaches its host.
pub fn hosts(extras: &[Extra], host: &[IpAddr], own: &[IpAddr], hostname: &str) -> String {
    let mut text = HOSTS.to_owned();
    for Extra { name, address } in extras {
        for address in address.as_ref().map_or(host, std::slice::from_ref) {
            let _ = writeln!(text, "{address}\t{name}");
        }
    }
    // A name with a domain can be said without it.
    let short = hostname.split_once('.').map_or(String::new(), |(short, _)| format!(" {short}"));
    for address in own {
        let _ = writeln!(text, "{address}\t{hostname}{short}");
    }
    text
}

/// What is to be written into `/etc/resolv.conf`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// Who is asked, in order.
    pub servers: Vec<IpAddr>,
    /// Where a short name is looked for; a single `.`: nowhere.
    pub search: Vec<String>,
    /// Options.
    pub options: Vec<String>,
}

impl Dns {
    /// Where this says nothing, the other one counts.
    pub fn or(&self, other: &Dns) -> Dns {
        fn first<T: Clone>(one: &[T], other: &[T]) -> Vec<T> {
            if one.is_empty() { other.to_vec() } else { one.to_vec() }
        }
        Dns {
            servers: first(&self.servers, &other.servers),
            search: first(&self.search, &other.search),
            options: first(&self.options, &other.options),
        }
    }

    /// What such a file says; lines that are of no use here are passed over.
    pub fn read(text: &str) -> Dns {
        let mut dns = Dns::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let keyword = words.next().unwrap_or("");
            let words = words.map(str::to_owned);
            match keyword {
                "nameserver" => {
                    dns.servers.extend(words.take(1).filter_map(|w| w.parse::<IpAddr>().ok()))
                }
                // The last of them counts (resolv.conf(5)).
                "search" | "domain" => dns.search = words.collect(),
                "options" => dns.options.extend(words),
                _ => {}
            }
        }
        dns
    }

    /// The file.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for server in &self.servers {
            let _ = writeln!(text, "nameserver {server}");
        }
        if !self.search.is_empty() && self.search != ["."] {
            let _ = writeln!(text, "search {}", self.search.join(" "));
        }
        if !self.options.is_empty() {
            let _ = writeln!(text, "options {}", self.options.join(" "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_added() {
        let four = Extra { name: "db".into(), address: Some([10, 0, 0, 1].into()) };
        assert_eq!(extra("db:10.0.0.1").unwrap(), four);
        assert_eq!(extra("db=10.0.0.1").unwrap(), four);
        let six = Some("fd00::1".parse().unwrap());
        assert_eq!(extra("db:fd00::1").unwrap().address, six);
        assert_eq!(extra("db:[fd00::1]").unwrap().address, six);
        assert_eq!(extra("up:host-gateway").unwrap().address, None);
        let words = "invalid IP address in add-host: \"x\"";
        assert_eq!(extra("db:x").unwrap_err().to_string(), words);
        assert_eq!(extra("db").unwrap_err().to_string(), "bad format for add-host: \"db\"");
    }

    #[test]
    fn hosts_tells_of_others_and_of_itself() {
        let extras = [extra("db:10.0.0.1").unwrap(), extra("up:host-gateway").unwrap()];
        let text = hosts(&extras, &[[172, 17, 0, 1].into()], &[[172, 17, 0, 2].into()], "a.b.c");
        let end = "ip6-allrouters\n10.0.0.1\tdb\n172.17.0.1\tup\n172.17.0.2\ta.b.c a\n";
        assert!(text.ends_with(end), "{text}");
        assert!(hosts(&[], &[], &[], "x").ends_with("ip6-allrouters\n"));
    }

    #[test]
    fn what_was_asked_for_comes_first() {
        let host = "# x\ndomain old\nsearch a b\nnameserver 10.0.0.1 # us\noptions edns0\n";
        let host = Dns::read(host);
        assert_eq!(host.text(), "nameserver 10.0.0.1\nsearch a b\noptions edns0\n");
        let asked = Dns {
            servers: vec![[9, 9, 9, 9].into()],
            search: vec![".".into()],
            options: Vec::new(),
        };
        assert_eq!(asked.or(&host).text(), "nameserver 9.9.9.9\noptions edns0\n");
    }
}
