//! Beside others: their ranges, links and routes stay theirs.

use std::os::fd::AsFd;

use ch04_network::{New, Site};
use dockster_tests::Failed;

use crate::hosts::{Dockster, Netns, Part, addresses, ask, ip, links, refused};

pub const PARTS: &[Part] = &[
    ("ranges_of_others_are_refused", ranges_of_others_are_refused),
    ("chosen_ranges_avoid_the_hosts_routes", chosen_ranges_avoid_the_hosts_routes),
    ("another_dockster_beside_it", another_dockster_beside_it),
    ("foreign_links_stay_as_they_are", foreign_links_stay),
    ("names_that_no_link_can_have", names_that_no_link_can_have),
];

const OVERLAPS: &str = "Pool overlaps with other one on this address space";

/// A link of somebody else's, with an address.
fn foreign(name: &str, address: &str) -> Result<(), Failed> {
    ip(&format!("link add {name} type bridge"))?;
    ip(&format!("addr add {address} dev {name}"))?;
    ip(&format!("link set {name} up"))?;
    Ok(())
}

fn with(name: &str, subnet: &str) -> Result<New, Failed> {
    Ok(New { name: name.to_owned(), subnets: vec![subnet.parse()?], ..New::default() })
}

fn ranges_of_others_are_refused() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    foreign("office", "10.20.0.5/16")?;
    ip("route add 10.99.0.0/24 via 10.20.0.1")?;
    ip("route add default via 10.20.0.1")?;
    ip("route add 0.0.0.0/1 via 10.20.0.1")?;
    ip("-6 addr add fd77::5/64 dev office nodad")?;
    let mut networks = dockster.lock()?;
    networks.create(with("web", "10.30.0.0/24")?)?;
    for (subnet, whose) in [
        ("10.30.0.0/24", "network web"),
        ("10.30.0.128/25", "network web"),
        ("10.30.0.0/16", "network web"),
        ("172.17.8.0/24", "network bridge"),
        ("10.20.7.0/24", "a route of the host"),
        ("10.16.0.0/13", "10.20.0.0/16 (a route of the host)"),
        ("10.99.0.0/16", "10.99.0.0/24 (a route of the host)"),
        ("fd77::/48", "fd77::/64 (a route of the host)"),
    ] {
        let refusal = networks.create(with("other", subnet)?);
        let words = refusal.as_ref().err().map(ToString::to_string).unwrap_or_default();
        refused(refusal, OVERLAPS)?;
        assert!(words.contains(whose), "{subnet}: {words}");
    }
    // Beside them is room.
    networks.create(with("other", "10.30.1.0/24")?)?;
    for (subnet, words) in [
        ("10.40.0.1/24", "invalid subnet 10.40.0.1/24: it should be 10.40.0.0/24"),
        ("10.40.0.0/31", "too small"),
        ("127.1.0.0/16", "no host can have one of these"),
        ("224.1.0.0/16", "no host can have one of these"),
    ] {
        refused(networks.create(with("bad", subnet)?), words)?;
    }
    let new = New { gateways: vec!["10.41.0.1".parse()?], ..with("bad", "10.40.0.0/24")? };
    refused(networks.create(new), "no matching subnet for gateway 10.41.0.1")?;
    let new = New { gateways: vec!["10.40.0.255".parse()?], ..with("bad", "10.40.0.0/24")? };
    refused(networks.create(new), "no matching subnet for gateway 10.40.0.255")
}

fn chosen_ranges_avoid_the_hosts_routes() -> Result<(), Failed> {
    // As on a host where Docker runs, too; and a VPN that has a part of the next range.
    foreign("docker0", "172.17.0.1/16")?;
    foreign("vpn", "172.18.200.1/24")?;
    let dockster = Dockster::new("dockster");
    let networks = dockster.lock()?;
    assert_eq!(networks.find("bridge")?.ranges[0].subnet.to_string(), "172.19.0.0/16");
    let note = "network bridge: 172.17.0.0/16 is in use here, so it has 172.19.0.0/16";
    assert_eq!(networks.notes(), [note]);
    drop(networks);
    // It is told once, when it is chosen.
    let mut networks = dockster.lock()?;
    assert_eq!(networks.notes(), [""; 0]);
    let web = networks.create(New { name: "web".to_owned(), ..New::default() })?;
    assert_eq!(web.ranges[0].subnet.to_string(), "172.20.0.0/16");
    Ok(())
}

fn another_dockster_beside_it() -> Result<(), Failed> {
    let (one, other) = (Dockster::new("dk11111111"), Dockster::new("dk22222222"));
    let (first, _) = one.container("same", &["bridge"])?;
    let (second, leases) = other.container("same", &["bridge"])?;
    // Each sees the other's routes, so they have different ranges.
    assert_eq!(leases[0].addresses[0].to_string(), "172.18.0.2/16");
    assert_eq!(links()?.len(), 4);
    one.lock()?.sweep(|_| false)?;
    assert!(first.ip("link show eth0").is_err());
    assert!(second.ip("link show eth0").is_ok());
    assert_eq!(links()?.len(), 2);
    assert!(ip("link show dk222222220").is_ok());
    Ok(())
}

/// Each link with what can be changed about it.
fn looks() -> Result<Vec<String>, Failed> {
    let all = ip("addr show")?;
    let link = |link: &serde_json::Value| {
        let each = ["ifname", "address", "mtu", "flags", "master"].map(|key| link[key].to_string());
        let addresses = addresses(&serde_json::json!([link]));
        format!("{} {addresses:?}", each.join(" "))
    };
    Ok(all.as_array().into_iter().flatten().map(link).collect())
}

fn foreign_links_stay() -> Result<(), Failed> {
    foreign("dv0123456789ab", "10.50.0.1/24")?;
    ip("link add dockster0 type bridge")?;
    let before = looks()?;
    let dockster = Dockster::new("dockster");
    let netns = Netns::new()?;
    let refusal = dockster.lock()?.attach(netns.0.as_fd(), &[ask("one", "bridge")]);
    refused(refusal, "the link dockster0 is there already, and is not ours")?;
    assert_eq!(dockster.leases("bridge")?, []);
    dockster.lock()?.reload()?;
    dockster.lock()?.sweep(|_| false)?;
    assert_eq!(looks()?, before);
    // And what is no bridge is none of ours, whatever its address.
    ip("link del dockster0")?;
    ip("link add dockster0 address 02:42:ac:11:00:01 type veth peer name other")?;
    let refusal = dockster.lock()?.attach(netns.0.as_fd(), &[ask("one", "bridge")]);
    refused(refusal, "the link dockster0 is there already, and is not ours")?;
    assert!(ip("link show dockster0").is_ok());
    Ok(())
}

fn names_that_no_link_can_have() -> Result<(), Failed> {
    for prefix in ["a/b", "with space", "fifteen-is-long", "", ".", "ünï", "-x", "a\nb"] {
        let dockster = Dockster::new("");
        let site = Site { prefix: prefix.to_owned(), ..dockster.site.clone() };
        match prefix {
            // With its 0 it is one.
            "" => drop(site.lock()?),
            _ => refused(site.lock().map(drop), "cannot be the name of a link")?,
        }
        assert!(prefix.is_empty() || !dockster.site.dir.exists());
    }
    Ok(())
}
