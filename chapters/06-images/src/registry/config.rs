//! Catalogue: not needed to understand the chapter.
//!
//! Where a registry is, and whether it may be reached without proof: the part of
//! docker's `daemon.json` that is about registries.
//!
//! ```json
//! { "registry-mirrors": ["https://mirror.example"],
//!   "insecure-registries": ["registry.example:5000", "10.0.0.0/8"] }
//! ```

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ch01_clone::{Error, Result};
use serde::Deserialize;

use crate::name::DOMAIN;

/// Where images live whose names have no registry.
const HUB: &str = "registry-1.docker.io";

/// How registries are reached.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Registries {
    /// Asked before Docker Hub, in this order: `https://HOST[:PORT]`.
    pub registry_mirrors: Vec<String>,
    /// Reached without a certificate that can be checked, or without TLS:
    /// `HOST[:PORT]` or `ADDRESS/BITS`. Whatever is on loopback is one of them.
    pub insecure_registries: Vec<String>,
    /// How long a registry may be silent, in seconds; 30 if not given.
    pub registry_timeout: Option<u64>,
}

/// One registry, or a mirror of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `https://HOST[:PORT]`, or `http://` where a mirror says so.
    pub(crate) base: String,
    /// Its certificate is not checked, and it may speak without TLS.
    pub(crate) insecure: bool,
}

impl Endpoint {
    /// Whose credentials are for it: the registry's own, or a mirror's.
    pub(crate) fn domain<'a>(&'a self, registry: &'a str) -> &'a str {
        let host = self.base.split_once("://").map_or(self.base.as_str(), |(_, host)| host);
        if registry == DOMAIN && host == HUB { registry } else { host }
    }
}

impl Registries {
    /// Reads the file; one that is missing says nothing.
    ///
    /// # Errors
    /// It cannot be read, or says something else than it may.
    pub fn read(path: &Path) -> Result<Self> {
        match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| Error::new(format!("{}: {error}", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(crate::moving(&format!("open({path:?})"), error)),
        }
    }

    /// How long a registry may be silent.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.registry_timeout.unwrap_or(30).max(1))
    }

    /// Who is asked for what a registry has: its mirrors first.
    pub(crate) fn endpoints(&self, domain: &str) -> Vec<Endpoint> {
        let mirrors = self.registry_mirrors.iter().filter(|_| domain == DOMAIN);
        let mirrors = mirrors.map(|url| self.endpoint(url.trim_end_matches('/')));
        mirrors.chain([self.own(domain)]).collect()
    }

    /// The registry itself: where images are pushed to.
    pub(crate) fn own(&self, domain: &str) -> Endpoint {
        match domain {
            DOMAIN => self.endpoint(&format!("https://{HUB}")),
            _ => self.endpoint(&format!("https://{domain}")),
        }
    }

    fn endpoint(&self, base: &str) -> Endpoint {
        let host = base.split_once("://").map_or(base, |(_, host)| host);
        let insecure = is_loopback(host) || self.insecure_registries.iter().any(|i| fits(i, host));
        Endpoint { base: base.to_owned(), insecure }
    }
}

/// `HOST:PORT` without the port, an IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    host.trim_start_matches('[').trim_end_matches(']')
}

/// What comes from this machine cannot be listened to on the way.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = bare(host);
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn fits(entry: &str, host: &str) -> bool {
    let Some((network, bits)) = entry.split_once('/') else {
        return entry == host || entry == bare(host);
    };
    match (network.parse(), bits.parse(), bare(host).parse()) {
        (Ok(IpAddr::V4(network)), Ok(bits @ 0..=32u32), Ok(IpAddr::V4(host))) => {
            (u32::from(network) ^ u32::from(host)).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (Ok(IpAddr::V6(network)), Ok(bits @ 0..=128), Ok(IpAddr::V6(host))) => {
            (u128::from(network) ^ u128::from(host)).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Registries};

    #[test]
    fn mirrors_come_first_and_loopback_is_insecure() {
        let text = r#"{"registry-mirrors":["http://mirror.example/"],"insecure-registries":
            ["other.example:5000","named.example","10.0.0.0/8","192.0.2.7/32","2001:db8::/32"]}"#;
        let registries: Registries = serde_json::from_str(text).expect("it is right");
        let hub: Vec<_> =
            registries.endpoints("docker.io").into_iter().map(|end| end.base).collect();
        assert_eq!(hub, ["http://mirror.example", "https://registry-1.docker.io"]);
        for (domain, insecure) in [
            ("registry.example", false),
            ("other.example:5000", true),
            ("other.example", false),
            ("named.example:1", true),
            ("10.255.0.1:5000", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("[2001:db8::1]:5000", true),
            ("[2001:db9::1]:5000", false),
            ("localhost:5000", true),
            ("127.8.9.1", true),
            ("[::1]:5000", true),
            ("localhost.example", false),
        ] {
            let base = format!("https://{domain}");
            assert_eq!(registries.endpoints(domain), [Endpoint { base, insecure }], "{domain}");
        }
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(serde_json::from_str::<Registries>(r#"{"insecure-registry":["a"]}"#).is_err());
    }
}
