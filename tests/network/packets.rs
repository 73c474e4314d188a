//! Where packets get to, and where they do not.

use std::net::IpAddr;

use ch04_network::Protocol::{Tcp, Udp};
use ch04_network::{Firewall, Guard};
use dockster_tests::Failed;

use crate::hosts::Part;
use crate::lan::Host;
use crate::world::{World, lease, network};

pub const PARTS: &[Part] = &[
    ("a_container_gets_out_with_the_hosts_address", to_outside),
    ("published_ports_are_open_to_the_outside_and_no_others", from_outside),
    ("published_on_localhost_is_closed_to_a_neighbour", martians),
    ("published_ports_are_open_to_the_host", from_localhost),
    ("who_keeps_on_sending_udp_is_heard_once_it_is_published", persistent),
    ("published_ports_are_open_to_the_container_and_its_neighbours", hairpin),
    ("networks_are_isolated_but_for_published_ports", isolation),
    ("internal_networks_are_closed", internal),
    ("a_guarded_host_routes_for_containers_alone", guard),
    ("a_bridge_that_others_make_later_is_not_guarded", later),
    ("two_docksters_live_side_by_side", side_by_side),
];

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Asks by TCP and UDP; `name` answers and sees the question come from `from`.
fn answers(who: &Host, to: &str, name: &str, from: &str) -> Result<(), Failed> {
    for protocol in [Tcp, Udp] {
        let (answered, seen) = who.ask(protocol, to)?;
        if (answered.as_str(), seen) != (name, ip(from)) {
            return Err(format!("{protocol:?} {to}: {answered}, which sees {seen}").into());
        }
    }
    Ok(())
}

fn closed(who: &Host, to: &[&str]) -> Result<(), Failed> {
    to.iter().try_for_each(|to| [Tcp, Udp].iter().try_for_each(|way| who.no_answer(*way, to)))
}

fn to_outside() -> Result<(), Failed> {
    let (world, _, _, container) = World::with_one(&[])?;
    world.outside.serve_both("outside", 80)?;
    answers(&container, "192.0.2.2:80", "outside", "192.0.2.1")?;
    answers(&container, "[2001:db8::2]:80", "outside", "2001:db8::1")?;
    // One who knows the way gets to no port that was not published.
    closed(&world.outside, &["172.17.0.2:80", "[fd00:17::2]:80"])?;
    // It is the rule that closes it, not the wire.
    world.host.nft("flush chain inet dockster passing")?;
    answers(&world.outside, "172.17.0.2:80", "c17-2", "192.0.2.2")?;
    answers(&world.outside, "[fd00:17::2]:80", "c17-2", "2001:db8::2")
}

fn from_outside() -> Result<(), Failed> {
    let ports = [
        "8080:80/tcp",
        "8080:80/udp",
        "192.0.2.1=8081:80/tcp",
        "2001:db8::1=8081:80/tcp",
        "198.51.100.1=8082:80/tcp",
        "127.0.0.1=8083:80/tcp",
        "::1=8083:80/tcp",
        "0.0.0.0=8084:80/udp",
    ];
    let (world, ..) = World::with_one(&ports)?;
    answers(&world.outside, "192.0.2.1:8080", "c17-2", "192.0.2.2")?;
    answers(&world.outside, "[2001:db8::1]:8080", "c17-2", "2001:db8::2")?;
    for to in ["192.0.2.1:8081", "[2001:db8::1]:8081"] {
        assert_eq!(world.outside.ask(Tcp, to)?.0, "c17-2");
        world.outside.no_answer(Udp, to)?;
    }
    assert_eq!(world.outside.ask(Udp, "192.0.2.1:8084")?.0, "c17-2");
    world.outside.no_answer(Udp, "[2001:db8::1]:8084")?;
    closed(&world.outside, &["192.0.2.1:8082", "192.0.2.1:8083", "[2001:db8::1]:8083"])?;
    closed(&world.outside, &["172.17.0.2:80", "[fd00:17::2]:80"])?;
    assert_eq!(world.other.ask(Tcp, "198.51.100.1:8082")?.0, "c17-2");
    Ok(())
}

/// CVE-2020-8558, and the ports that docker published on localhost.
fn martians() -> Result<(), Failed> {
    let (world, _, _, container) = World::with_one(&["127.0.0.1=8083:80/tcp"])?;
    world.host.serve_both("host", 22)?;
    for neighbour in [&world.outside, &container] {
        // It sends 127.0.0.1 to the host: looked up in its own table before that of lo.
        neighbour.set_sysctl("ipv4/conf/all/route_localnet", "1")?;
        neighbour.ip("rule add pref 9 lookup local")?;
        neighbour.ip("rule add pref 1 to 127.0.0.1 lookup 7")?;
        neighbour.ip("rule del pref 0 lookup local")?;
    }
    world.outside.ip("route add 127.0.0.1 via 192.0.2.1 src 192.0.2.2 table 7")?;
    container.ip("route add 127.0.0.1 via 172.17.0.1 src 172.17.0.2 table 7")?;
    world.outside.no_answer(Tcp, "127.0.0.1:8083")?;
    closed(&container, &["127.0.0.1:22"])?;
    assert_eq!(world.host.ask(Tcp, "127.0.0.1:8083")?.0, "c17-2");
    // It is the rule that closes it: without it both are open.
    world.host.nft("flush chain inet dockster arriving")?;
    assert_eq!(world.outside.ask(Tcp, "127.0.0.1:8083")?.0, "c17-2");
    assert_eq!(container.ask(Tcp, "127.0.0.1:22")?.0, "host");
    Ok(())
}

fn from_localhost() -> Result<(), Failed> {
    let ports = ["8080:80/tcp", "8080:80/udp", "127.0.0.1=8083:80/tcp", "127.0.0.1=8083:80/udp"];
    let (world, ..) = World::with_one(&ports)?;
    answers(&world.host, "127.0.0.1:8080", "c17-2", "172.17.0.1")?;
    answers(&world.host, "192.0.2.1:8080", "c17-2", "172.17.0.1")?;
    answers(&world.host, "[2001:db8::1]:8080", "c17-2", "fd00:17::1")?;
    answers(&world.host, "127.0.0.1:8083", "c17-2", "172.17.0.1")?;
    closed(&world.host, &["192.0.2.1:8083"])
}

/// A flow that the kernel knows already, for who sent it did so before.
fn persistent() -> Result<(), Failed> {
    let (world, net, one, _container) = World::with_one(&[])?;
    let published = lease(&net, 2, &["8080:80/udp"]);
    world.host.serve("host", Udp, 8080)?;
    for to in ["192.0.2.1:8080", "[2001:db8::1]:8080"] {
        let sender = world.outside.sender(to)?;
        assert_eq!(sender.ask()?, "host");
        assert!(world.firewall.admit(&net, &published)?);
        assert_eq!(sender.ask()?, one.name);
        assert!(world.firewall.dismiss(&net, &published)?);
        assert_eq!(sender.ask()?, "host");
        world.firewall.rebuild(&[(net.clone(), vec![published.clone()])], Guard::default())?;
        assert_eq!(sender.ask()?, one.name);
        assert!(world.firewall.dismiss(&net, &published)?);
    }
    Ok(())
}

fn hairpin() -> Result<(), Failed> {
    let (world, net, one, container) = World::with_one(&["8080:80/tcp", "8080:80/udp"])?;
    let two = lease(&net, 3, &[]);
    let neighbour = world.container(&net, &two)?;
    assert!(world.firewall.admit(&net, &two)?);
    for who in [&container, &neighbour] {
        answers(who, "192.0.2.1:8080", &one.name, "172.17.0.1")?;
        answers(who, "172.17.0.1:8080", &one.name, "172.17.0.1")?;
        answers(who, "[2001:db8::1]:8080", &one.name, "fd00:17::1")?;
    }
    // Directly, neighbours see each other's own addresses.
    answers(&neighbour, "172.17.0.2:80", &one.name, "172.17.0.3")?;
    answers(&neighbour, "[fd00:17::2]:80", &one.name, "fd00:17::3")
}

fn isolation() -> Result<(), Failed> {
    let (world, first, one, container) = World::with_one(&["8080:80/tcp", "8080:80/udp"])?;
    let second = network("dk-000000000001", 18, false);
    let two = lease(&second, 2, &[]);
    world.bridge(&second)?;
    let stranger = world.container(&second, &two)?;
    assert!(world.firewall.admit(&second, &two)?);
    closed(&stranger, &["172.17.0.2:80", "[fd00:17::2]:80"])?;
    closed(&container, &["172.18.0.2:80", "[fd00:18::2]:80"])?;
    answers(&stranger, "192.0.2.1:8080", &one.name, "172.17.0.1")?;
    answers(&stranger, "172.18.0.1:8080", &one.name, "172.17.0.1")?;
    answers(&stranger, "[2001:db8::1]:8080", &one.name, "fd00:17::1")?;
    // What is taken out is closed.
    assert!(world.firewall.dismiss(&first, &one)?);
    closed(&stranger, &["192.0.2.1:8080", "[2001:db8::1]:8080"])
}

fn internal() -> Result<(), Failed> {
    let (world, _, one, container) = World::with_one(&["8080:80/tcp", "8080:80/udp"])?;
    let closed_net = network("dk-000000000001", 18, true);
    let leases = [2, 3].map(|number| lease(&closed_net, number, &["8081:80/tcp"]));
    world.bridge(&closed_net)?;
    let [inmate, mate] = [&leases[0], &leases[1]].map(|one| world.container(&closed_net, one));
    let (inmate, mate) = (inmate?, mate?);
    for lease in &leases[..1] {
        assert!(world.firewall.admit(&closed_net, lease)?);
    }
    world.outside.serve_both("outside", 80)?;
    closed(&inmate, &["192.0.2.2:80", "[2001:db8::2]:80", "172.17.0.2:80", "192.0.2.1:8080"])?;
    closed(&container, &["172.18.0.2:80", "[fd00:18::2]:80", "192.0.2.1:8081"])?;
    closed(&world.outside, &["172.18.0.2:80", "192.0.2.1:8081"])?;
    answers(&mate, "172.18.0.2:80", "c18-2", "172.18.0.3")?;
    answers(&container, "192.0.2.1:8080", &one.name, "172.17.0.1")
}

fn guard() -> Result<(), Failed> {
    let (world, net, one, container) = World::with_one(&["8080:80/tcp", "8080:80/udp"])?;
    world.other.serve_both("other", 80)?;
    // Forwarding is on: without a guard the host joins the two foreign nets.
    answers(&world.outside, "198.51.100.2:80", "other", "192.0.2.2")?;
    let guard = Guard { v4: true, v6: true, ..Guard::default() };
    world.firewall.rebuild(&[(net, vec![one])], guard)?;
    closed(&world.outside, &["198.51.100.2:80"])?;
    answers(&container, "198.51.100.2:80", "other", "198.51.100.1")?;
    answers(&world.outside, "192.0.2.1:8080", "c17-2", "192.0.2.2")?;
    answers(&world.outside, "[2001:db8::1]:8080", "c17-2", "2001:db8::2")
}

/// As docker, libvirt and podman do it, who find that the host is a router already.
fn later() -> Result<(), Failed> {
    let (world, net, one, _container) = World::with_one(&["8080:80/tcp"])?;
    world.outside.serve_both("outside", 80)?;
    // A bridge of somebody's with a container of theirs on it.
    let theirs = network("docker0", 20, false);
    let lease = lease(&theirs, 2, &[]);
    world.bridge(&theirs)?;
    let stranger = world.container(&theirs, &lease)?;
    let guard = |links: &[&str]| Guard {
        v4: true,
        v6: true,
        links: links.iter().map(|link| (*link).to_owned()).collect(),
    };
    let all = [(net, vec![one])];
    // It was there before, when nothing was routed: nothing is.
    world.firewall.rebuild(&all, guard(&["eth0", "eth1", "docker0"]))?;
    closed(&stranger, &["192.0.2.2:80"])?;
    closed(&world.outside, &["172.20.0.2:80"])?;
    // It was made since: what passes is theirs to say. What is no bridge stays closed.
    world.firewall.rebuild(&all, guard(&["eth0"]))?;
    answers(&stranger, "192.0.2.2:80", "outside", "172.20.0.2")?;
    answers(&world.outside, "172.20.0.2:80", &lease.name, "192.0.2.2")?;
    closed(&world.other, &["192.0.2.2:80"])?;
    // Ours are as closed to them as to anybody.
    closed(&stranger, &["172.17.0.2:80"])
}

fn side_by_side() -> Result<(), Failed> {
    let (world, net, one, container) = World::with_one(&["8080:80/tcp", "8080:80/udp"])?;
    let guard = Guard { v4: true, v6: true, ..Guard::default() };
    world.firewall.rebuild(&[(net, vec![one])], guard.clone())?;
    let other = world.host.within(|| Firewall::new("dk0a1b2c3d"))?;
    let second = network("dk0a1b2c3d0", 18, false);
    let two = lease(&second, 2, &["8081:80/tcp", "8081:80/udp"]);
    world.bridge(&second)?;
    let stranger = world.container(&second, &two)?;
    assert!(!other.admit(&second, &two)?);
    other.rebuild(&[(second, vec![two])], guard)?;
    world.outside.serve_both("outside", 80)?;
    for (who, port) in [(&container, 8081), (&stranger, 8080)] {
        answers(who, "192.0.2.2:80", "outside", "192.0.2.1")?;
        assert!(who.ask(Tcp, &format!("192.0.2.1:{port}")).is_ok());
    }
    answers(&world.outside, "192.0.2.1:8080", "c17-2", "192.0.2.2")?;
    answers(&world.outside, "192.0.2.1:8081", "c18-2", "192.0.2.2")?;
    closed(&container, &["172.18.0.2:80"])?;
    closed(&stranger, &["172.17.0.2:80"])?;
    // One goes, the other stays.
    world.firewall.remove()?;
    world.firewall.remove()?;
    answers(&world.outside, "192.0.2.1:8081", "c18-2", "192.0.2.2")
}
