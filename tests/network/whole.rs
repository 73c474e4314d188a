//! All of it together: containers that are attached, and packets that find their way.

use std::fs;
use std::os::fd::AsFd;

use ch04_network::Protocol::{Tcp, Udp};
use ch04_network::{Ask, New, Port, Protocol};
use dockster_tests::Failed;

use crate::hosts::{Dockster, Part, ask};
use crate::lan::Host;

pub const PARTS: &[Part] = &[
    ("what_is_attached_is_published_and_isolated", published_and_isolated),
    ("ipv6_is_routed_to_the_outside", ipv6_is_routed),
    ("the_host_is_a_router_until_the_last_has_gone", a_router_until_the_last),
    ("lost_rules_come_back", lost_rules_come_back),
    ("what_is_killed_between_rules_and_lease", killed_between),
];

/// A host at 192.0.2.1 and 2001:db8::1, somebody outside of it, and a Dockster.
struct Street {
    host: Host,
    outside: Host,
    dockster: Dockster,
}

impl Street {
    fn new() -> Result<Street, Failed> {
        let (host, outside) = (Host::new()?, Host::new()?);
        host.wire("eth0", &outside, "eth0")?;
        for (who, number) in [(&host, 1), (&outside, 2)] {
            who.address("eth0", &format!("192.0.2.{number}/24"))?;
            who.address("eth0", &format!("2001:db8::{number}/64"))?;
        }
        // Who is outside would find the way in; the rules say no.
        outside.ip("route add default via 192.0.2.1")?;
        outside.ip("route add fd00::/8 via 2001:db8::1")?;
        outside.serve_both("outside", 80)?;
        Ok(Street { host, outside, dockster: Dockster::new("dockster") })
    }

    /// A container on a network that serves port 80, published like this.
    fn container(&self, name: &str, network: &str, ports: &[Port]) -> Result<Host, Failed> {
        let container = Host::new()?;
        let wish = Ask { ports: ports.to_vec(), ..ask(name, network) };
        self.host.within(|| {
            self.dockster.lock()?.attach(container.0.as_fd(), &[wish]).map_err(Failed::from)
        })?;
        container.serve_both(name, 80)?;
        Ok(container)
    }

    fn detach(&self, name: &str) -> Result<(), Failed> {
        self.host.within(|| Ok(self.dockster.lock()?.detach(name)?))
    }

    fn create(&self, new: New) -> Result<(), Failed> {
        self.host.within(|| self.dockster.lock()?.create(new).map(drop).map_err(Failed::from))
    }

    /// Whether forwarding is on, and which tables there are.
    fn rules(&self) -> Result<(String, String), Failed> {
        Ok((self.host.sysctl("ipv4/ip_forward")?, self.host.nft("list tables")?))
    }
}

fn port(protocol: Protocol, host: u16) -> Port {
    Port { protocol, address: None, host, container: 80 }
}

fn answers(who: &Host, protocol: Protocol, to: &str, name: &str) -> Result<(), Failed> {
    let (answered, from) = who.ask(protocol, to)?;
    match answered == name {
        true => Ok(()),
        false => Err(format!("{to}: {answered} answers, which is asked by {from}").into()),
    }
}

fn published_and_isolated() -> Result<(), Failed> {
    let street = Street::new()?;
    street.create(New { name: "web".to_owned(), ..New::default() })?;
    street.create(New { name: "inner".to_owned(), internal: true, ..New::default() })?;
    let ports = [port(Tcp, 8080), port(Udp, 5353)];
    let one = street.container("one", "bridge", &ports)?;
    let two = street.container("two", "bridge", &[])?;
    let web = street.container("web1", "web", &[])?;
    let inner = street.container("inner1", "inner", &[])?;
    // From outside, from the host, and from a container of another network.
    for who in [&street.outside, &street.host, &web] {
        answers(who, Tcp, "192.0.2.1:8080", "one")?;
        answers(who, Udp, "192.0.2.1:5353", "one")?;
    }
    answers(&street.host, Tcp, "127.0.0.1:8080", "one")?;
    // What was not published is closed to all but its own network and the host.
    for who in [&street.outside, &web, &inner] {
        who.no_answer(Tcp, "172.17.0.2:80")?;
        who.no_answer(Udp, "172.17.0.2:80")?;
    }
    answers(&two, Tcp, "172.17.0.2:80", "one")?;
    answers(&street.host, Tcp, "172.17.0.2:80", "one")?;
    // To the outside, under the host's address; but not from an internal network.
    for who in [&one, &web] {
        let (name, from) = who.ask(Tcp, "192.0.2.2:80")?;
        assert_eq!((name.as_str(), from.to_string().as_str()), ("outside", "192.0.2.1"));
    }
    inner.no_answer(Tcp, "192.0.2.2:80")?;
    // Gone is gone: the port leads nowhere, and is free for somebody else.
    street.detach("one")?;
    street.outside.no_answer(Tcp, "192.0.2.1:8080")?;
    let _three = street.container("three", "web", &ports)?;
    answers(&street.outside, Tcp, "192.0.2.1:8080", "three")
}

fn ipv6_is_routed() -> Result<(), Failed> {
    let street = Street::new()?;
    let subnets = vec!["fd06::/64".parse()?];
    street.create(New { name: "six".to_owned(), subnets, ..New::default() })?;
    let one = street.container("one", "six", &[port(Tcp, 8080)])?;
    let (name, from) = one.ask(Tcp, "[2001:db8::2]:80")?;
    assert_eq!((name.as_str(), from.to_string().as_str()), ("outside", "2001:db8::1"));
    answers(&street.outside, Tcp, "[2001:db8::1]:8080", "one")?;
    street.outside.no_answer(Tcp, "[fd06::2]:80")?;
    street.detach("one")?;
    assert_eq!(street.host.sysctl("ipv6/conf/all/forwarding")?, "0");
    Ok(())
}

fn a_router_until_the_last() -> Result<(), Failed> {
    let street = Street::new()?;
    let nothing = ("0".to_owned(), String::new());
    assert_eq!(street.rules()?, nothing);
    let _one = street.container("one", "bridge", &[])?;
    street.create(New { name: "web".to_owned(), ..New::default() })?;
    let _two = street.container("two", "web", &[])?;
    let there = ("1".to_owned(), "table inet dockster\n".to_owned());
    assert_eq!(street.rules()?, there);
    // Others' packets are not forwarded, though it was us who made a router of it.
    let stranger = Host::new()?;
    street.host.wire("eth1", &stranger, "eth0")?;
    street.host.address("eth1", "198.51.100.1/24")?;
    stranger.address("eth0", "198.51.100.2/24")?;
    stranger.ip("route add default via 198.51.100.1")?;
    stranger.no_answer(Tcp, "192.0.2.2:80")?;
    street.detach("one")?;
    assert_eq!(street.rules()?, there);
    street.detach("two")?;
    assert_eq!(street.rules()?, nothing);
    // An internal network needs no router.
    street.create(New { name: "inner".to_owned(), internal: true, ..New::default() })?;
    let _inner = street.container("inner1", "inner", &[])?;
    assert_eq!(street.host.sysctl("ipv4/ip_forward")?, "0");
    street.detach("inner1")?;
    assert_eq!(street.rules()?, nothing);
    Ok(())
}

fn lost_rules_come_back() -> Result<(), Failed> {
    let street = Street::new()?;
    let _one = street.container("one", "bridge", &[port(Tcp, 8080)])?;
    let flush = || street.host.nft("flush ruleset");
    // By name, and with the next who comes or goes.
    flush()?;
    street.outside.no_answer(Tcp, "192.0.2.1:8080")?;
    street.host.within(|| Ok::<_, Failed>(street.dockster.lock()?.reload()?))?;
    answers(&street.outside, Tcp, "192.0.2.1:8080", "one")?;
    flush()?;
    let _two = street.container("two", "bridge", &[port(Tcp, 8081)])?;
    answers(&street.outside, Tcp, "192.0.2.1:8080", "one")?;
    flush()?;
    street.detach("two")?;
    answers(&street.outside, Tcp, "192.0.2.1:8080", "one")?;
    flush()?;
    street.detach("one")?;
    assert_eq!(street.rules()?, ("0".to_owned(), String::new()));
    Ok(())
}

/// A lease that is written down, of which nothing or only a part was made.
fn killed_between() -> Result<(), Failed> {
    let street = Street::new()?;
    let _one = street.container("one", "bridge", &[])?;
    let file = street.dockster.site.dir.join("bridge/leases.json");
    let mut leases: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
    let mut dead = leases[0].clone();
    dead["container"] = "dead".into();
    dead["link"] = "dvdeaddeaddead".into();
    dead["addresses"] = serde_json::json!(["172.17.0.3/16"]);
    dead["ports"] = serde_json::json!([
        {"protocol": "tcp", "address": null, "host": 8080, "container": 80}
    ]);
    leases.as_array_mut().ok_or("a list")?.push(dead);
    fs::write(&file, leases.to_string())?;
    // Its address and port are taken until it is swept away.
    let two = street.container("two", "bridge", &[])?;
    assert!(two.ip("addr show eth0")?.contains("172.17.0.4/16"));
    assert!(street.container("three", "bridge", &[port(Tcp, 8080)]).is_err());
    let sweep =
        || street.dockster.lock()?.sweep(|container| container != "dead").map_err(Failed::from);
    street.host.within(sweep)?;
    let three = street.container("three", "bridge", &[port(Tcp, 8080)])?;
    assert!(three.ip("addr show eth0")?.contains("172.17.0.3/16"));
    answers(&street.outside, Tcp, "192.0.2.1:8080", "three")
}
