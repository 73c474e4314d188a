//! `network explain` shows what the kernel has: compared with what `nft` shows.

use ch04_network::Guard;
use ch04_network::explain::explain;
use dockster_tests::Failed;

use crate::hosts::Part;
use crate::world::{World, lease};

pub const PARTS: &[Part] = &[("what_is_explained_is_what_nft_shows", explained)];

fn explained() -> Result<(), Failed> {
    let ports = ["8080:80/tcp", "192.0.2.1=53:53/udp", "2001:db8::1=53:53/udp"];
    let (world, net, one, _container) = World::with_one(&ports)?;
    let two = lease(&net, 3, &[]);
    let leases = [one, two];
    world.firewall.rebuild(
        &[(net.clone(), leases.to_vec())],
        Guard { v4: true, v6: true, links: vec!["eth0".into()] },
    )?;
    let text = world.host.within(|| explain("dockster", &net, &leases))?;
    let shown = world.host.nft("list table inet dockster")?;
    // Every rule that nft shows is explained in the same words, and no other.
    let rule = |line: &&str| line.contains(" comment \"");
    let sorted = |text: &str| {
        let mut rules: Vec<String> =
            text.lines().filter(rule).map(|line| line.trim().to_owned()).collect();
        rules.sort();
        rules
    };
    assert_eq!(sorted(&text), sorted(&shown), "{text}");
    for element in [
        "\"dockster0\"",
        "\"dockster0\" . \"dockster0\"",
        "tcp . 8080 : 172.17.0.2 . 80",
        "tcp . 8080 : fd00:17::2 . 80",
        "udp . 192.0.2.1 . 53 : 172.17.0.2 . 53",
        "udp . 2001:db8::1 . 53 : fd00:17::2 . 53",
    ] {
        assert!(shown.contains(element), "{element}: {shown}");
        assert!(text.lines().any(|line| line.trim() == element), "{element}: {text}");
    }
    let line_of = |what: &str| text.lines().find(|line| line.contains(what)).unwrap_or_default();
    assert!(line_of("dv172").ends_with("up, mtu 1500"), "{text}");
    assert!(line_of("bridge dockster0").contains("172.17.0.1 fd00:17::1 up"), "{text}");
    assert!(line_of("dv173").contains("missing"), "{text}");

    // What somebody took away is not explained.
    world.host.nft("flush ruleset")?;
    let text = world.host.within(|| explain("dockster", &net, &leases))?;
    assert!(text.contains("table inet dockster: missing"), "{text}");
    assert!(!text.contains(" comment \""), "{text}");
    Ok(())
}
