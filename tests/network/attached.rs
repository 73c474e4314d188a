//! What a container gets, as `ip` sees it.

use std::fs;
use std::os::fd::AsFd;

use ch04_network::{Ask, New};
use dockster_tests::Failed;

use crate::hosts::{Dockster, Netns, Part, addresses, ask, ip, links, refused};

pub const PARTS: &[Part] = &[
    ("a_container_has_a_wire", a_container_has_a_wire),
    ("containers_reach_each_other", containers_reach_each_other),
    ("the_last_takes_the_bridge_away", the_last_takes_the_bridge_away),
    ("nothing_asked_for_is_a_loopback", nothing_asked_for_is_a_loopback),
    ("two_networks_and_one_way_out", two_networks_and_one_way_out),
    ("an_internal_network_has_no_way_out", an_internal_network_has_no_way_out),
    ("ipv6_is_usable_at_once", ipv6_is_usable_at_once),
    ("the_mtu_is_the_default_routes", the_mtu_is_the_default_routes),
    ("what_was_asked_for_is_had", what_was_asked_for_is_had),
    ("what_cannot_be_had_is_refused", what_cannot_be_had_is_refused),
    ("an_attach_that_fails_leaves_nothing", an_attach_that_fails_leaves_nothing),
    ("a_lost_bridge_comes_back", a_lost_bridge_comes_back),
];

fn a_container_has_a_wire() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    let (one, leases) = dockster.container("one", &["bridge"])?;
    let bridge = ip("addr show dockster0")?;
    assert_eq!(bridge[0]["linkinfo"]["info_kind"], "bridge");
    assert_eq!(addresses(&bridge), ["172.17.0.1/16"]);
    let [lease] = &leases[..] else { return Err(format!("{leases:?}").into()) };
    let port = ip(&format!("link show {}", lease.link))?;
    assert_eq!(port[0]["master"], "dockster0");
    assert_eq!(port[0]["operstate"], "UP");
    let eth0 = one.ip("addr show eth0")?;
    assert_eq!(addresses(&eth0), ["172.17.0.2/16"]);
    assert_eq!(eth0[0]["address"], "02:42:ac:11:00:02");
    assert_eq!(eth0[0]["operstate"], "UP");
    let routes = one.ip("route show default")?;
    assert_eq!((&routes[0]["gateway"], &routes[0]["dev"]), (&"172.17.0.1".into(), &"eth0".into()));
    let lo = one.ip("addr show lo")?;
    assert!(lo[0]["flags"].as_array().is_some_and(|flags| flags.contains(&"UP".into())), "{lo}");
    // What is written down is the same, and a person can read it.
    let text = fs::read_to_string(dockster.site.dir.join("bridge/leases.json"))?;
    for line in [r#""container": "one""#, r#""172.17.0.2/16""#, r#""interface": "eth0""#] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    Ok(())
}

fn containers_reach_each_other() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    let (one, _one) = dockster.container("one", &["bridge"])?;
    let (two, _two) = dockster.container("two", &["bridge"])?;
    assert!(one.reaches(&two, "172.17.0.3")?);
    assert!(two.reaches(&one, "172.17.0.2")?);
    // What is taken off is gone from inside, too.
    dockster.lock()?.detach("two")?;
    assert!(two.ip("link show eth0").is_err());
    Ok(())
}

fn the_last_takes_the_bridge_away() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    let (_one, _) = dockster.container("one", &["bridge"])?;
    let (_two, _) = dockster.container("two", &["bridge"])?;
    dockster.lock()?.detach("one")?;
    assert_eq!(links()?.len(), 2, "{:?}", links()?);
    // The address is free again, and the lowest.
    let (_three, leases) = dockster.container("three", &["bridge"])?;
    assert_eq!(leases[0].addresses[0].to_string(), "172.17.0.2/16");
    dockster.lock()?.detach("two")?;
    dockster.lock()?.detach("three")?;
    assert_eq!(links()?, [""; 0]);
    assert_eq!(dockster.leases("bridge")?, []);
    // Once more is no error: whoever tears down may not know that somebody has done it.
    Ok(dockster.lock()?.detach("three")?)
}

fn nothing_asked_for_is_a_loopback() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    let (none, leases) = dockster.container("none", &[])?;
    assert_eq!(leases, []);
    assert_eq!(links()?, [""; 0]);
    let all = none.ip("link show up")?;
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
    assert!(none.reaches(&none, "127.0.0.1")?);
    Ok(())
}

fn two_networks_and_one_way_out() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    let network = dockster.lock()?.create(New { name: "web".to_owned(), ..New::default() })?;
    let (one, leases) = dockster.container("one", &["web", "bridge"])?;
    assert_eq!(leases[0].interface, "eth0");
    assert_eq!(leases[1].interface, "eth1");
    assert_eq!(addresses(&one.ip("addr show eth0")?), ["172.18.0.2/16"]);
    assert_eq!(addresses(&one.ip("addr show eth1")?), ["172.17.0.2/16"]);
    let port = ip(&format!("link show {}", leases[0].link))?;
    assert_eq!(port[0]["master"], network.bridge.as_str());
    let default = |one: &Netns| one.ip("route show default");
    assert_eq!(default(&one)?.as_array().map(Vec::len), Some(1));
    assert_eq!(default(&one)?[0]["gateway"], "172.18.0.1");
    // Taken off its way out, it leaves by the other; put on again, it is eth0 once more.
    dockster.lock()?.disconnect("web", "one", Some(one.0.as_fd()))?;
    assert_eq!(default(&one)?[0]["gateway"], "172.17.0.1");
    assert!(one.ip("link show eth0").is_err());
    let again = dockster.lock()?.attach(one.0.as_fd(), &[ask("one", &network.id[..5])])?;
    assert_eq!(again[0].interface, "eth0");
    assert_eq!(default(&one)?[0]["gateway"], "172.17.0.1");
    let twice = dockster.lock()?.attach(one.0.as_fd(), &[ask("one", "web")]);
    refused(twice, "endpoint with name one already exists in network web")?;
    let never = dockster.lock()?.disconnect("web", "two", None);
    refused(never, "container two is not connected to network web")?;
    dockster.lock()?.detach("one")?;
    assert_eq!(links()?, [""; 0]);
    Ok(())
}

fn an_internal_network_has_no_way_out() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    let new = New { name: "inner".to_owned(), internal: true, ipv6: true, ..New::default() };
    dockster.lock()?.create(new)?;
    let (one, leases) = dockster.container("one", &["inner"])?;
    let (two, _) = dockster.container("two", &["inner", "bridge"])?;
    assert!(two.reaches(&one, &leases[0].addresses[0].addr().to_string())?);
    assert_eq!(one.ip("route show default")?, serde_json::json!([]));
    assert_eq!(one.ip("-6 route show default")?, serde_json::json!([]));
    // The second's way out is the first network that has one.
    assert_eq!(two.ip("route show default")?[0]["dev"], "eth1");
    Ok(())
}

fn ipv6_is_usable_at_once() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    let new = New { name: "six".to_owned(), ipv6: true, ..New::default() };
    let network = dockster.lock()?.create(new)?;
    let six = network.ranges[1].subnet;
    assert!(six.to_string().starts_with("fd") && six.prefix_len() == 64, "{six}");
    let (one, leases) = dockster.container("one", &["six"])?;
    let eth0 = one.ip("addr show eth0")?;
    let lease: Vec<_> = leases[0].addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses(&eth0), lease);
    for links in [eth0, ip(&format!("addr show {}", network.bridge))?] {
        let infos = links[0]["addr_info"].as_array().cloned().unwrap_or_default();
        let six =
            infos.iter().filter(|info| info["family"] == "inet6" && info["scope"] == "global");
        let tentative: Vec<_> = six.filter(|info| info["tentative"] == true).collect();
        assert!(tentative.is_empty(), "{tentative:?}");
    }
    let (two, _) = dockster.container("two", &["six"])?;
    assert!(two.reaches(&one, &leases[0].addresses[1].addr().to_string())?);
    let route = one.ip("-6 route show default")?;
    assert_eq!(route[0]["gateway"], network.ranges[1].gateway.to_string());
    // Also where new links are without it.
    let other = Netns::new()?;
    let default = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
    other.inside(move || fs::write(default, "1"))?;
    let leases = dockster.lock()?.attach(other.0.as_fd(), &[ask("three", "six")])?;
    assert!(one.reaches(&other, &leases[0].addresses[1].addr().to_string())?);
    // Nobody believes a router that announces itself: neither inside nor on the host.
    let setting = |link: &str, name: &str| format!("/proc/sys/net/ipv6/conf/{link}/{name}");
    let (accept, disable) = (setting("eth0", "accept_ra"), setting("eth0", "disable_ipv6"));
    assert_eq!(one.inside(move || fs::read_to_string(accept))?, "0\n");
    assert_eq!(one.inside(move || fs::read_to_string(disable))?, "0\n");
    assert_eq!(fs::read_to_string(setting(&network.bridge, "accept_ra"))?, "0\n");
    let (four, _) = dockster.container("four", &["bridge"])?;
    assert_eq!(four.ip("-6 addr show eth0")?[0]["addr_info"], serde_json::Value::Null);
    assert_eq!(ip("-6 addr show dockster0")?[0]["addr_info"], serde_json::Value::Null);
    assert_eq!(fs::read_to_string(setting("dockster0", "accept_ra"))?, "0\n");
    Ok(())
}

fn the_mtu_is_the_default_routes() -> Result<(), Failed> {
    ip("link add out0 mtu 1400 type bridge")?;
    ip("addr add 203.0.113.5/24 dev out0")?;
    ip("link set out0 up")?;
    let of = |name: &str| -> Result<(u64, u64), Failed> {
        let dockster = Dockster::new("dockster");
        let (one, _) = dockster.container(name, &["bridge"])?;
        let mtu = |link: &serde_json::Value| link[0]["mtu"].as_u64().unwrap_or(0);
        let both = (mtu(&ip("link show dockster0")?), mtu(&one.ip("link show eth0")?));
        dockster.lock()?.detach(name)?;
        Ok(both)
    };
    assert_eq!(of("no-route")?, (1500, 1500));
    ip("route add default via 203.0.113.1")?;
    assert_eq!(of("the-links")?, (1400, 1400));
    ip("route replace default via 203.0.113.1 mtu 1300")?;
    assert_eq!(of("its-own")?, (1300, 1300));
    ip("route del default")?;
    ip("-6 addr add 2001:db8:5::5/64 dev out0 nodad")?;
    ip("-6 route add default via 2001:db8:5::1")?;
    assert_eq!(of("of-ipv6")?, (1400, 1400));
    Ok(())
}

fn what_was_asked_for_is_had() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    let subnets = vec!["10.7.0.0/24".parse()?, "fd07::/64".parse()?];
    let gateways = vec!["10.7.0.254".parse()?, "fd07::fe".parse()?];
    let new = New { name: "web".to_owned(), subnets, gateways, ..New::default() };
    let network = dockster.lock()?.create(new)?;
    let wish = Ask {
        address: Some("10.7.0.9".parse()?),
        address6: Some("fd07::9".parse()?),
        mac: Some("02:00:00:00:00:09".to_owned()),
        ..ask("one", "web")
    };
    let one = Netns::new()?;
    dockster.lock()?.attach(one.0.as_fd(), &[wish])?;
    let eth0 = one.ip("addr show eth0")?;
    assert_eq!(addresses(&eth0), ["10.7.0.9/24", "fd07::9/64"]);
    assert_eq!(eth0[0]["address"], "02:00:00:00:00:09");
    assert_eq!(one.ip("route show default")?[0]["gateway"], "10.7.0.254");
    let bridge = ip(&format!("addr show {}", network.bridge))?;
    assert_eq!(addresses(&bridge), ["10.7.0.254/24", "fd07::fe/64"]);
    Ok(())
}

fn what_cannot_be_had_is_refused() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    let subnets = vec!["10.7.0.0/30".parse()?];
    dockster.lock()?.create(New { name: "tiny".to_owned(), subnets, ..New::default() })?;
    let wish = |address: &str, name: &str| -> Result<Ask, Failed> {
        Ok(Ask { address: Some(address.parse()?), ..ask(name, "tiny") })
    };
    let try_it = |wish: Ask| -> Result<_, Failed> {
        let netns = Netns::new()?;
        Ok(dockster.lock()?.attach(netns.0.as_fd(), &[wish]))
    };
    for outside in ["10.8.0.2", "10.7.0.0", "10.7.0.3"] {
        refused(try_it(wish(outside, "one")?)?, "no configured subnet contains the IP address")?;
    }
    refused(try_it(wish("10.7.0.1", "one")?)?, "Address already in use: 10.7.0.1")?;
    let six = Ask { address6: Some("fd00::2".parse()?), ..ask("one", "tiny") };
    refused(try_it(six)?, "network tiny has no IPv6 addresses")?;
    for mac in ["", "02:42", "01:00:5e:00:00:01", "00:00:00:00:00:00", "02:42:ac:11:00:zz"] {
        let wish = Ask { mac: Some(mac.to_owned()), ..ask("one", "tiny") };
        refused(try_it(wish)?, "invalid MAC address")?;
    }
    let (_one, _) = dockster.container("one", &["tiny"])?;
    refused(try_it(wish("10.7.0.2", "two")?)?, "Address already in use: 10.7.0.2")?;
    refused(try_it(ask("two", "tiny"))?, "no available IPv4 addresses on 10.7.0.0/30")?;
    refused(try_it(ask("two", "nowhere"))?, "network nowhere not found")
}

fn an_attach_that_fails_leaves_nothing() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    let netns = Netns::new()?;
    let asks = [ask("one", "bridge"), ask("one", "nowhere")];
    refused(dockster.lock()?.attach(netns.0.as_fd(), &asks), "network nowhere not found")?;
    assert_eq!(links()?, [""; 0]);
    assert_eq!(dockster.leases("bridge")?, []);
    assert!(netns.ip("link show eth0").is_err());
    // What the kernel refuses is named: the call, and the errno.
    let no_namespace = fs::File::open("/dev/null")?;
    let refusal = dockster.lock()?.attach(no_namespace.as_fd(), &[ask("one", "bridge")]);
    refused(refusal, "setns(the container's, CLONE_NEWNET): EINVAL")?;
    assert_eq!(dockster.leases("bridge")?, []);
    Ok(())
}

fn a_lost_bridge_comes_back() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    let (one, _) = dockster.container("one", &["bridge"])?;
    let (two, _) = dockster.container("two", &["bridge"])?;
    ip("link del dockster0")?;
    dockster.lock()?.reload()?;
    assert_eq!(addresses(&ip("addr show dockster0")?), ["172.17.0.1/16"]);
    assert!(one.reaches(&two, "172.17.0.3")?);
    // A lost veth is lost: its container would have to be started again.
    dockster.lock()?.reload()?;
    dockster.lock()?.sweep(|_| false)?;
    assert_eq!(links()?, [""; 0]);
    Ok(())
}
