//! What other software on this machine does to our packets, and what the way out is like.
//!
//! Nothing is changed: the commands are for whoever reads them.

use std::collections::BTreeMap;

use ch01_clone::{Context, Result};
use ch04_network::links::Links;
use ch04_network::nft::Socket;
use ch04_network::obstacles::obstacles;
use ch04_network::{DEFAULT, Network, addresses, forwarding};
use doctor::{Check, Finding, Patient};
use ipnet::IpNet;
use nix::unistd::{AccessFlags, access};

use crate::engine::network::site_of;

/// All of them, in the order in which one cures.
pub const CHECKS: [(&str, Check); 5] = [
    ("way to the outside", way_out),
    ("forwarding", router),
    ("other firewalls", firewalls),
    ("length of packets", mtu),
    ("other Docksters", others),
];

/// What an ordinary user has of all this.
const APART: &str = "an ordinary user's networks are apart from the host's";

/// Runs a check for root; that it cannot look is told as well.
fn as_root(patient: &Patient, check: impl FnOnce() -> Result<Finding>) -> Finding {
    match patient.privileged {
        false => Finding::ok(APART),
        true => check().unwrap_or_else(|error| {
            Finding::warn(error.to_string(), error.hint.unwrap_or_default())
        }),
    }
}

/// The networks that there are, or the one that will be made first. None is made here.
fn networks(patient: &Patient) -> Result<Vec<Network>> {
    let site = site_of(&patient.root);
    if site.dir.exists() {
        return Ok(site.lock()?.list().to_vec());
    }
    let range = addresses::range(IpNet::new_assert([172, 17, 0, 0].into(), 16), None)?;
    Ok(vec![Network {
        id: String::new(),
        name: DEFAULT.into(),
        created: 0,
        bridge: format!("{}0", site.prefix),
        ranges: vec![range],
        internal: false,
        labels: BTreeMap::new(),
    }])
}

fn way_out(patient: &Patient) -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |name: &&&str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    if patient.privileged {
        return as_root(patient, || {
            let links = Links::open()?;
            let way = |v4| links.way_out(v4).call(|| "RTM_GETROUTE(the default route)");
            Ok(match (way(true)?, way(false)?) {
                (Some((link, _)), _) | (None, Some((link, _))) => Finding::ok(format!("by {link}")),
                (None, None) => Finding::warn("the host has no default route", "ip route"),
            })
        });
    }
    let install = |what: &str| {
        patient.distribution.install(&["passt"]).unwrap_or_else(|| what.to_owned().into())
    };
    match ["pasta", "slirp4netns"].iter().find(has) {
        None => Finding::warn(
            "neither pasta nor slirp4netns is installed: containers reach only each other",
            install("install passt (or slirp4netns)"),
        ),
        Some(_) if access("/dev/net/tun", AccessFlags::W_OK).is_err() => Finding::warn(
            "/dev/net/tun is not there, or not ours to open: containers reach only each other",
            "sudo modprobe tun && sudo chmod 666 /dev/net/tun (in a container: --device /dev/net/tun)",
        ),
        Some(name) => Finding::ok(format!("by {name}")),
    }
}

/// Whether this host can become a router, if it is none.
fn router(patient: &Patient) -> Finding {
    as_root(patient, || {
        let file = "/proc/sys/net/ipv4/ip_forward";
        let on = std::fs::read_to_string(file).call(|| format!("read({file})"))?;
        Ok(match (on.trim(), access(file, AccessFlags::W_OK)) {
            ("1", _) => Finding::ok("on"),
            (_, Ok(())) => Finding::ok("off; the first container switches it on, the last off"),
            (_, Err(errno)) => Finding::warn(
                format!("off, and not ours to switch on ({errno}): no container gets out"),
                "on the host: sudo sysctl -w net.ipv4.ip_forward=1 \
                 (of a container around us: --sysctl net.ipv4.ip_forward=1)",
            ),
        })
    })
}

/// Whether other software's rules drop packets of ours.
fn firewalls(patient: &Patient) -> Finding {
    as_root(patient, || {
        let (mut found, mut cures) = (Vec::new(), Vec::new());
        for network in networks(patient)? {
            for obstacle in obstacles(&network)? {
                let (name, packets) = (&network.name, obstacle.packets);
                found.push(format!("network {name}: {packets} is dropped by {}", obstacle.place));
                cures.push(obstacle.cure);
            }
        }
        Ok(match found.is_empty() {
            true => Finding::ok("none that drops our packets"),
            false => Finding::warn(found.join("; "), cures.join(" && ")),
        })
    })
}

/// Whether the networks' packets are as short as the way out has them. (The host says so to
/// who sends longer ones, but not everybody listens.)
fn mtu(patient: &Patient) -> Finding {
    as_root(patient, || {
        let links = Links::open()?;
        let most = links.mtu().call(|| "RTM_GETROUTE(the default route)")?;
        for network in networks(patient)? {
            let name = &network.bridge;
            let bridge = links.find(name).call(|| format!("RTM_GETLINK({name})"))?;
            if let Some(bridge) = bridge.filter(|bridge| bridge.mtu > most) {
                return Ok(Finding::warn(
                    format!("{name} has {} bytes, the way out only {most}", bridge.mtu),
                    format!("ip link set dev {name} mtu {most} (and start its containers anew)"),
                ));
            }
        }
        Ok(Finding::ok(format!("{most} bytes, as the way out has it")))
    })
}

/// Docksters with another root, in the same network.
fn others(patient: &Patient) -> Finding {
    as_root(patient, || {
        let own = site_of(&patient.root).prefix;
        let mut tables = Socket::open()?.tables()?;
        tables.retain(|table| forwarding::is_ours(table) && *table != own);
        Ok(match tables.is_empty() {
            true => Finding::ok("none"),
            false => Finding::ok(format!(
                "{}, with another --root: each leaves the others' networks alone",
                tables.join(", ")
            )),
        })
    })
}
