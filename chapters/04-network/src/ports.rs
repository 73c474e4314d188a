//! Catalogue: not needed to understand the chapter.
//!
//! What `--publish` and `--expose` say, in docker's grammar:
//!
//! ```text
//! 8080:80               the host's port 8080 on all its addresses
//! 127.0.0.1:8080:80     on one of them; [::1]:8080:80
//! 80                    a port of the host that is free; also 127.0.0.1::80
//! 8000-8009:80-89/udp   many at once
//! 8000-8009:80          a free one of these
//! ```

use std::net::{IpAddr, Ipv6Addr};

use ch01_clone::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::Protocol;

/// A port that is to be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Publish {
    /// Of which protocol.
    pub protocol: Protocol,
    /// The host's address; `None` is all of them.
    pub address: Option<IpAddr>,
    /// The host's port is one of these; `None`: any that is free.
    pub host: Option<(u16, u16)>,
    /// The container's port.
    pub container: u16,
}

/// What `--publish` says.
pub fn publish(text: &str) -> Result<Vec<Publish>> {
    if text.contains('=') {
        return publish(&in_short(text)?);
    }
    let mut parts = text.rsplitn(3, ':');
    let (container, host, address) =
        (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let (container, protocol) = split_protocol(container)?;
    let address = self::address(address)?;
    if container.is_empty() {
        return Err(Error::new(format!("no port specified: {text}<empty>")));
    }
    let (first, last) =
        range(container).map_err(|_| Error::new(format!("invalid containerPort: {container}")))?;
    let hosts = match host {
        "" | "0" => None,
        some => Some(range(some).map_err(|_| Error::new(format!("invalid hostPort: {some}")))?),
    };
    let host_of = |number: u16| match hosts {
        Some((from, to)) if to - from == last - first => Some((from + number, from + number)),
        hosts => hosts,
    };
    if hosts.is_some_and(|(from, to)| to - from != last - first) && first != last {
        return Err(Error::new(format!(
            "invalid ranges specified for container and host Ports: {container} and {host}"
        )));
    }
    let one =
        |container| Publish { protocol, address, host: host_of(container - first), container };
    Ok((first..=last).map(one).collect())
}

/// The long form, `target=80,published=8080,protocol=tcp`, in the short one.
fn in_short(text: &str) -> Result<String> {
    let (mut target, mut published, mut protocol) = ("", "", "tcp");
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("target", value)) => target = value,
            Some(("published", value)) => published = value,
            Some(("protocol", value)) => protocol = value,
            _ => {
                return Err(Error::new(format!(
                    "invalid publish opts format (should be name=value but got '{part}')"
                )));
            }
        }
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

/// What `--expose` says, and `EXPOSE` of an image: ports of the container.
pub fn expose(text: &str) -> Result<Vec<(u16, Protocol)>> {
    if text.contains(':') {
        return Err(Error::new(format!("invalid port format for --expose: {text}")));
    }
    let (ports, protocol) = split_protocol(text)?;
    let (first, last) = range(ports).map_err(|error| {
        Error::new(format!("invalid range format for --expose: {text}, error: {error}"))
    })?;
    Ok((first..=last).map(|port| (port, protocol)).collect())
}

fn split_protocol(text: &str) -> Result<(&str, Protocol)> {
    let (port, name) = text.split_once('/').unwrap_or((text, "tcp"));
    match name.to_ascii_lowercase().as_str() {
        "tcp" | "" => Ok((port, Protocol::Tcp)),
        "udp" => Ok((port, Protocol::Udp)),
        other => Err(Error::new(format!("invalid proto: {other}"))),
    }
}

fn address(text: &str) -> Result<Option<IpAddr>> {
    let invalid = || Error::new(format!("invalid IP address: {text}"));
    match text.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
        _ if text.is_empty() => Ok(None),
        None => text.parse().map(Some).map_err(|_| invalid()),
        Some(inner) => {
            let inner = inner.and_then(|inner| inner.parse::<Ipv6Addr>().ok());
            inner.map(|address| Some(address.into())).ok_or_else(invalid)
        }
    }
}

/// `80` or `80-89`.
fn range(text: &str) -> Result<(u16, u16)> {
    if text.is_empty() {
        return Err(Error::new("empty string specified for ports"));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| match text.parse() {
        Ok(0) | Err(_) => Err(Error::new(format!("invalid port {text:?}"))),
        Ok(number) => Ok(number),
    };
    match (number(first)?, number(last)?) {
        (first, last) if first > last => {
            Err(Error::new(format!("invalid range specified for port: {text}")))
        }
        both => Ok(both),
    }
}

impl Protocol {
    /// `tcp` or `udp`.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Said = (Option<IpAddr>, Option<(u16, u16)>, u16, &'static str);

    fn said(text: &str) -> Vec<Said> {
        let all = publish(text).unwrap();
        all.iter().map(|p| (p.address, p.host, p.container, p.protocol.name())).collect()
    }

    #[test]
    fn what_docker_says() {
        let local = Some([127, 0, 0, 1].into());
        let six = Some(Ipv6Addr::LOCALHOST.into());
        assert_eq!(said("8080:80"), [(None, Some((8080, 8080)), 80, "tcp")]);
        assert_eq!(said("80"), [(None, None, 80, "tcp")]);
        assert_eq!(said("0:80/UDP"), [(None, None, 80, "udp")]);
        assert_eq!(said("127.0.0.1::80"), [(local, None, 80, "tcp")]);
        assert_eq!(said("[::1]:90:80"), [(six, Some((90, 90)), 80, "tcp")]);
        assert_eq!(said("::1:90:80"), [(six, Some((90, 90)), 80, "tcp")]);
        let two = [(None, Some((90, 90)), 80, "udp"), (None, Some((91, 91)), 81, "udp")];
        assert_eq!(said("90-91:80-81/udp"), two);
        assert_eq!(said("90-95:80"), [(None, Some((90, 95)), 80, "tcp")]);
        assert_eq!(said("target=80,published=90"), [(None, Some((90, 90)), 80, "tcp")]);
        assert_eq!(expose("7-8/udp").unwrap(), [(7, Protocol::Udp), (8, Protocol::Udp)]);
    }

    #[test]
    fn what_docker_refuses() {
        let refused = |text: &str| publish(text).unwrap_err().to_string();
        assert_eq!(refused("90:"), "no port specified: 90:<empty>");
        assert_eq!(refused("90:x"), "invalid containerPort: x");
        assert_eq!(refused("x:80"), "invalid hostPort: x");
        assert_eq!(refused("70000:80"), "invalid hostPort: 70000");
        assert_eq!(refused("90:80/icmp"), "invalid proto: icmp");
        assert_eq!(refused("1.2.3:90:80"), "invalid IP address: 1.2.3");
        assert_eq!(refused("[::1:90:80"), "invalid IP address: [::1");
        let ranges = "invalid ranges specified for container and host Ports: 80-82 and 90-91";
        assert_eq!(refused("90-91:80-82"), ranges);
        assert!(expose("90:80").unwrap_err().to_string().starts_with("invalid port format"));
        assert!(expose("9-8").is_err());
    }
}
