//! What `nft` shows of the table, and of the others beside it.

use ch04_network::{Guard, Lease, Network};
use dockster_tests::Failed;
use nix::errno::Errno;

use crate::hosts::Part;
use crate::lan::Host;
use crate::world::{World, lease, network};

pub const PARTS: &[Part] = &[
    ("admitted_one_by_one_is_as_rebuilt", admitted),
    ("without_a_table_it_asks_for_a_rebuild", flushed),
    ("a_port_of_another_is_refused_and_nothing_is_changed", taken),
    ("other_tables_stay_as_they_are", beside),
    ("two_hundred_endpoints_are_elements_alone", crowd),
];

const NONE: Guard = Guard { v4: false, v6: false, links: Vec::new() };

/// The table as a sorted list of lines: the kernel keeps elements in no order.
fn table(host: &Host) -> Result<Vec<String>, Failed> {
    let text = host.nft("list table inet dockster")?;
    let bare = |line: &str| line.replace("elements = {", "").replace(['}', ','], "").trim().into();
    let mut lines: Vec<String> = text.lines().map(bare).collect();
    lines.sort();
    Ok(lines)
}

/// Chains and rules with their handles, which a new one would not have again.
fn rules(host: &Host) -> Result<Vec<String>, Failed> {
    let text = host.nft("-a list table inet dockster")?;
    let of_rule = |line: &&str| line.contains("# handle") && !line.contains("elements");
    Ok(text.lines().filter(of_rule).map(str::to_owned).collect())
}

fn networks() -> [(Network, Vec<Lease>); 2] {
    let (open, internal) = (network("dockster0", 17, false), network("dk-000000000001", 18, true));
    let ports: &[&str] = &["8080:80/tcp", "127.0.0.1=53:53/udp", "2001:db8::1=443:443/tcp"];
    let leases = vec![lease(&open, 2, ports), lease(&open, 3, &["8081:80/udp"])];
    let inner = vec![lease(&internal, 2, &["9:9/tcp"])];
    [(open, leases), (internal, inner)]
}

fn admitted() -> Result<(), Failed> {
    let world = World::new()?;
    let all = networks();
    world.firewall.rebuild(&all, NONE)?;
    let rebuilt = table(&world.host)?;
    assert!(rebuilt.iter().any(|line| line == "tcp . 8080 : 172.17.0.2 . 80"), "{rebuilt:?}");
    world.firewall.rebuild(&[], NONE)?;
    let empty = table(&world.host)?;
    let before = rules(&world.host)?;
    for (network, leases) in &all {
        for lease in leases {
            // Twice is as once.
            assert!(world.firewall.admit(network, lease)?);
            assert!(world.firewall.admit(network, lease)?);
        }
    }
    assert_eq!(table(&world.host)?, rebuilt);
    for (network, leases) in &all {
        for lease in leases {
            assert!(world.firewall.dismiss(network, lease)?);
        }
        assert!(world.firewall.close(network)?);
    }
    assert_eq!(table(&world.host)?, empty);
    assert_eq!(rules(&world.host)?, before, "only elements were touched");
    Ok(())
}

fn flushed() -> Result<(), Failed> {
    let world = World::new()?;
    let all = networks();
    let (network, leases) = &all[0];
    assert!(!world.firewall.admit(network, &leases[0])?);
    world.firewall.rebuild(&all, NONE)?;
    let rebuilt = table(&world.host)?;
    world.host.nft("flush ruleset")?;
    assert!(!world.firewall.dismiss(network, &leases[0])?);
    assert!(!world.firewall.close(network)?);
    assert!(!world.firewall.admit(network, &leases[0])?);
    assert_eq!(world.host.nft("list ruleset")?, "");
    world.firewall.rebuild(&all, NONE)?;
    assert_eq!(table(&world.host)?, rebuilt);
    // An element that somebody took out is a part that is not there.
    world.host.load("delete element inet dockster anywhere4 { tcp . 8080 }")?;
    assert!(!world.firewall.dismiss(network, &leases[0])?);
    world.firewall.remove()?;
    assert_eq!(world.host.nft("list ruleset")?, "");
    Ok(())
}

fn taken() -> Result<(), Failed> {
    let world = World::new()?;
    let all = networks();
    world.firewall.rebuild(&all, NONE)?;
    let before = table(&world.host)?;
    let other = lease(&all[0].0, 9, &["7:7/tcp", "8080:80/tcp"]);
    let refused = world.firewall.admit(&all[0].0, &other).expect_err("8080 is another's");
    assert!(matches!(refused.errno, Some(Errno::EEXIST | Errno::EBUSY)), "{refused}");
    assert!(refused.to_string().contains("anywhere4"), "{refused}");
    assert_eq!(table(&world.host)?, before);
    // The socket is not confused by it.
    assert!(world.firewall.admit(&all[0].0, &lease(&all[0].0, 9, &["7:7/tcp"]))?);
    Ok(())
}

const DOCKER: &str = r#"
table ip nat {
    chain DOCKER { iifname "docker0" return; }
    chain PREROUTING {
        type nat hook prerouting priority dstnat; policy accept;
        fib daddr type local counter jump DOCKER
    }
    chain POSTROUTING {
        type nat hook postrouting priority srcnat; policy accept;
        oifname != "docker0" ip saddr 172.30.0.0/16 counter masquerade
    }
}
table ip filter {
    chain DOCKER-USER { return; }
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
        counter jump DOCKER-USER
        oifname "docker0" ct state established,related accept
    }
}
"#;

const FIREWALLD: &str = r#"
table inet firewalld {
    set trusted { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        ip saddr @trusted accept
        reject with icmpx admin-prohibited
    }
}
"#;

fn beside() -> Result<(), Failed> {
    let world = World::new()?;
    let host = &world.host;
    host.load(DOCKER)?;
    host.load(FIREWALLD)?;
    let tables = ["ip nat", "ip filter", "inet firewalld"];
    let seen = || -> Result<Vec<String>, Failed> {
        tables.iter().map(|table| host.nft(&format!("-a list table {table}"))).collect()
    };
    let before = seen()?;
    let all = networks();
    world.firewall.rebuild(&all, Guard { v4: true, v6: true, links: vec!["eth0".into()] })?;
    let more = lease(&all[0].0, 4, &["8084:80/tcp"]);
    assert!(world.firewall.admit(&all[0].0, &more)?);
    assert!(world.firewall.dismiss(&all[0].0, &more)?);
    world.firewall.rebuild(&all, NONE)?;
    assert_eq!(seen()?, before);
    world.firewall.remove()?;
    assert_eq!(seen()?, before);
    assert_eq!(host.nft("list tables")?.lines().count(), tables.len());
    Ok(())
}

fn crowd() -> Result<(), Failed> {
    let world = World::new()?;
    let net = network("dockster0", 17, false);
    let ports = |n: u16| [format!("{}:80/tcp", 10_000 + n), format!("{}:80/udp", 10_000 + n)];
    let leases: Vec<Lease> =
        (2..202).map(|n| lease(&net, n, &ports(n).each_ref().map(String::as_str))).collect();
    world.firewall.rebuild(&[], NONE)?;
    let (empty, before) = (table(&world.host)?, rules(&world.host)?);
    for lease in &leases {
        assert!(world.firewall.admit(&net, lease)?);
    }
    let full = table(&world.host)?;
    let count = |what: &str| full.iter().filter(|line| line.contains(what)).count();
    assert_eq!((count(" : 172.17.0."), count(" : fd00:17::")), (400, 400));
    assert_eq!(rules(&world.host)?, before, "only elements were touched");
    world.firewall.rebuild(&[(net.clone(), leases.clone())], NONE)?;
    assert_eq!(table(&world.host)?, full);
    for lease in &leases {
        assert!(world.firewall.dismiss(&net, lease)?);
    }
    assert!(world.firewall.close(&net)?);
    assert_eq!(table(&world.host)?, empty);
    Ok(())
}
