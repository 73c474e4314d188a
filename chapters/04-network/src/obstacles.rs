//! Catalogue: not needed to understand the chapter.
//!
//! What other software's firewalls do to our packets. What ours accepts the others are still
//! asked about (nft(8), "verdict statement"), and what one drops is dropped. So the packets of
//! a network are played through their rules, and where one is caught, the command is named
//! that lets it pass. Nobody but the administrator runs it.

use std::net::IpAddr;

use ch01_clone::{Context, Result};

use crate::forwarding::is_ours;
use crate::legacy;
use crate::links::Links;
use crate::nft::{Packet, Socket, Table};
use crate::{Network, sysctl};

/// Something of somebody else's that drops packets of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// Which packets: `what comes from outside`.
    pub packets: &'static str,
    /// Whose, and where: `docker (table ip filter, chain FORWARD: policy drop)`.
    pub place: String,
    /// The command that lets them pass. Run as root.
    pub cure: String,
}

/// Whose rules these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Docker,
    Firewalld,
    Ufw,
    /// Rules by iptables(8).
    Iptables,
    Nft,
}

/// What drops packets of this network, in the network namespace that the caller is in: at
/// most one for each firewall.
pub fn obstacles(network: &Network) -> Result<Vec<Obstacle>> {
    let mut found: Vec<Obstacle> = Vec::new();
    let tables = Socket::open()?.others(is_ours)?;
    for (packets, packet) in packets(&Links::open()?, network)? {
        for table in &tables {
            if let Some((base, stop)) = table.stops(&packet) {
                let owner = owner(table, base);
                let (chain, rule, name) = (&stop.chain, &stop.rule, &table.name);
                let place = format!("table {} {name}, chain {chain}: {rule}", table.family);
                let cure = cure(owner, table, base, &network.bridge);
                found.push(Obstacle { packets, place: owner.says(&place), cure });
            }
        }
        found.extend(legacy::stops(&packet)?.map(|(owner, place)| {
            let cure = legacy::cure(owner, packet.v4, &network.bridge);
            Obstacle { packets, place: owner.says(&place), cure }
        }));
    }
    found.dedup_by(|next, first| next.cure == first.cure);
    Ok(found)
}

/// The same in sentences for whoever starts a container. That somebody's rules cannot be read
/// is no reason not to start it.
pub(crate) fn warnings(network: &Network) -> Vec<String> {
    let name = &network.name;
    let warning = |Obstacle { packets, place, cure }| {
        format!("network {name}: {packets} is dropped by {place}\n  as root: {cure}")
    };
    obstacles(network).unwrap_or_default().into_iter().map(warning).collect()
}

/// A packet of each kind that others could drop, of each Internet Protocol.
fn packets(links: &Links, network: &Network) -> Result<Vec<(&'static str, Packet)>> {
    let number = |name: &str| {
        let link = links.find(name).call(|| format!("RTM_GETLINK({name})"))?;
        Ok::<_, ch01_clone::Error>((name.to_owned(), link.map_or(0, |link| link.index)))
    };
    let bridge = number(&network.bridge)?;
    let mut packets = Vec::new();
    for range in &network.ranges {
        let v4 = range.gateway.is_ipv4();
        let one = range.subnet.hosts().find(|address| *address != range.gateway);
        let packet = |iif: &(String, u32), oif: &(String, u32), from, to, redirected| Packet {
            iif: iif.clone(),
            oif: oif.clone(),
            from,
            to,
            v4,
            redirected,
        };
        let asks = if v4 { "iptables" } else { "ip6tables" };
        if sysctl::read(&format!("bridge/bridge-nf-call-{asks}")).is_ok_and(|on| on == "1") {
            let other: Option<IpAddr> = range.subnet.hosts().nth(2);
            let what = "what neighbours send each other (bridged packets pass the rules here)";
            packets.push((what, packet(&bridge, &bridge, one, other, false)));
        }
        if network.internal {
            continue;
        }
        let outside = links.way_out(v4).call(|| "RTM_GETROUTE(the default route)")?;
        // Without a way to it there is no outside; a name that no link has stands for it.
        let outside = outside.unwrap_or_else(|| ("outside".into(), 0));
        packets.push(("what goes to the outside", packet(&bridge, &outside, one, None, false)));
        let what = "what comes to a published port";
        packets.push((what, packet(&outside, &bridge, None, one, true)));
    }
    Ok(packets)
}

fn owner(table: &Table, base: &str) -> Owner {
    match (table.family, table.name.as_str()) {
        ("inet", "firewalld") => Owner::Firewalld,
        ("ip" | "ip6", "filter") if base == "FORWARD" => {
            of_iptables(&|chain| table.has(chain), table.family == "ip6")
        }
        _ => Owner::Nft,
    }
}

/// Whose rules a table `filter` of iptables has, by the chains that are there.
pub(crate) fn of_iptables(has: &dyn Fn(&str) -> bool, v6: bool) -> Owner {
    match has("DOCKER-USER") {
        true => Owner::Docker,
        false if has(if v6 { "ufw6-before-forward" } else { "ufw-before-forward" }) => Owner::Ufw,
        false => Owner::Iptables,
    }
}

impl Owner {
    fn says(self, place: &str) -> String {
        let name = match self {
            Owner::Docker => "docker",
            Owner::Firewalld => "firewalld",
            Owner::Ufw => "ufw",
            Owner::Iptables => "iptables",
            Owner::Nft => "nftables",
        };
        format!("{name} ({place})")
    }

    /// Its command for rules that let all through that has to do with a bridge: what of it
    /// may come in, our own rules say. `iptables` is the program for iptables' rules.
    pub(crate) fn command(self, iptables: &str, bridge: &str) -> String {
        let both = |chain: &str| {
            format!(
                "{iptables} -I {chain} -i {bridge} -j ACCEPT && \
                 {iptables} -I {chain} -o {bridge} -j ACCEPT"
            )
        };
        match self {
            Owner::Docker => both("DOCKER-USER"),
            Owner::Firewalld => format!("firewall-cmd --zone=trusted --add-interface={bridge}"),
            Owner::Ufw => {
                format!("ufw route allow in on {bridge} && ufw route allow out on {bridge}")
            }
            Owner::Iptables | Owner::Nft => both("FORWARD"),
        }
    }
}

fn cure(owner: Owner, table: &Table, base: &str, bridge: &str) -> String {
    let Table { family, name, .. } = table;
    match owner {
        Owner::Nft => format!(
            "nft insert rule {family} {name} {base} iifname {bridge} accept && \
             nft insert rule {family} {name} {base} oifname {bridge} accept"
        ),
        _ => owner.command(program(*family == "ip6", "nft"), bridge),
    }
}

/// The program that changes iptables' rules of this kind. Hosts may have two of each, and
/// `iptables` is either.
pub(crate) fn program(v6: bool, kind: &str) -> &'static str {
    let names = match (v6, kind) {
        (false, "nft") => ["iptables-nft", "iptables"],
        (false, _) => ["iptables-legacy", "iptables"],
        (true, "nft") => ["ip6tables-nft", "ip6tables"],
        (true, _) => ["ip6tables-legacy", "ip6tables"],
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<_> = std::env::split_paths(&path).collect();
    let system = ["/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
    let there = |name: &str| dirs.iter().chain(&system).any(|dir| dir.join(name).is_file());
    if there(names[0]) { names[0] } else { names[1] }
}
