//! What is written down: networks found, made and removed, and what a crash leaves of that.

use std::fs;

use ch04_network::{New, Site};
use dockster_tests::Failed;

use crate::hosts::{Dockster, Part, links, refused};

pub const PARTS: &[Part] = &[
    ("networks_are_found_by_name_and_id", networks_are_found),
    ("networks_have_names_as_docker_s", networks_have_names),
    ("a_network_in_use_stays", a_network_in_use_stays),
    ("half_a_network_is_none", half_a_network_is_none),
    ("a_damaged_file_is_named", a_damaged_file_is_named),
    ("leases_of_the_dead_are_given_back", leases_of_the_dead),
    ("a_port_is_published_once", a_port_is_published_once),
];

fn named(name: &str) -> New {
    New { name: name.to_owned(), ..New::default() }
}

fn networks_are_found() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    let labels = [("tier".to_owned(), "front".to_owned())].into();
    let made = dockster.lock()?.create(New { labels, ..named("web") })?;
    let mut networks = dockster.lock()?;
    let names: Vec<_> = networks.list().iter().map(|network| network.name.as_str()).collect();
    assert_eq!(names, ["bridge", "web"]);
    assert_eq!(networks.find("web")?, &made);
    assert_eq!(networks.find(&made.id)?, &made);
    assert_eq!(networks.find(&made.id[..12])?, &made);
    assert_eq!(made.bridge, format!("dk-{}", &made.id[..12]));
    refused(networks.find("we"), "network we not found")?;
    refused(networks.find(""), "network  not found")?;
    // Sixteen more have an id that begins like another's.
    for number in 0..16 {
        networks.create(named(&format!("n{number}")))?;
    }
    let first = |digit: char| networks.list().iter().filter(|n| n.id.starts_with(digit)).count();
    let common =
        "0123456789abcdef".chars().find(|digit| first(*digit) > 1).ok_or("no two alike")?;
    refused(networks.find(&common.to_string()), "is ambiguous")
}

fn networks_have_names() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    let mut networks = dockster.lock()?;
    let long = "x".repeat(129);
    for name in ["", ".", "..", "a/b", "-a", "_a", "a b", "ä", "../web", "a\0b", &long] {
        refused(networks.create(named(name)), "invalid network name")?;
    }
    for name in ["none", "host", "default"] {
        refused(networks.create(named(name)), "predefined")?;
    }
    for name in ["a", "0", "A.b_c-d", &long[1..]] {
        networks.create(named(name))?;
    }
    refused(networks.create(named("a")), "network with name a already exists")?;
    refused(networks.create(named("bridge")), "network with name bridge already exists")
}

fn a_network_in_use_stays() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    dockster.lock()?.create(named("web"))?;
    let (_one, _) = dockster.container("one", &["web"])?;
    refused(dockster.lock()?.remove("web"), "network web has active endpoints (one)")?;
    refused(dockster.lock()?.remove("bridge"), "bridge is a pre-defined network")?;
    dockster.lock()?.detach("one")?;
    dockster.lock()?.remove("web")?;
    refused(dockster.lock()?.remove("web"), "network web not found")?;
    assert!(!dockster.site.dir.join("web").exists());
    assert_eq!(links()?, [""; 0]);
    // Its range is free again.
    let again = dockster.lock()?.create(named("again"))?;
    assert_eq!(again.ranges[0].subnet.to_string(), "172.18.0.0/16");
    Ok(())
}

/// Whoever was killed while making or removing one has left a directory, and perhaps half a file.
fn half_a_network_is_none() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    dockster.lock()?.create(named("web"))?;
    let dir = &dockster.site.dir;
    fs::remove_file(dir.join("web/network.json"))?;
    fs::create_dir(dir.join("half"))?;
    fs::write(dir.join("half/network.new"), "{ \"id\":")?;
    fs::write(dir.join("bridge/leases.new"), "[ {")?;
    let mut networks = dockster.lock()?;
    assert_eq!(networks.list().len(), 1);
    assert!(!dir.join("web").exists() && !dir.join("half").exists());
    networks.create(named("half"))?;
    drop(networks);
    let (_one, leases) = dockster.container("one", &["bridge"])?;
    assert_eq!(dockster.leases("bridge")?, leases);
    // The directory may go while somebody waits for its lock.
    let (site, networks) = (dockster.site.clone(), dockster.lock()?);
    let waiting = std::thread::spawn(move || site.lock().map(|found| found.list().len()));
    fs::rename(dir, dir.with_extension("gone"))?;
    drop(networks);
    assert_eq!(waiting.join().expect("it does not panic")?, 1);
    assert!(dir.join("bridge/network.json").exists());
    Ok(())
}

fn a_damaged_file_is_named() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    drop(dockster.lock()?);
    let leases = dockster.site.dir.join("bridge/leases.json");
    fs::write(&leases, "[{")?;
    refused(dockster.lock()?.sweep(|_| false), "bridge/leases.json\" is damaged: EOF")?;
    fs::remove_file(&leases)?;
    fs::write(dockster.site.dir.join("bridge/network.json"), "{}")?;
    refused(
        dockster.site.lock().map(drop),
        "bridge/network.json\" is damaged: missing field `id`",
    )?;
    let nowhere = Site::new("/proc/nowhere".into(), "dockster".to_owned());
    refused(nowhere.lock().map(drop), "mkdir(\"/proc/nowhere\"): ENOENT")
}

fn leases_of_the_dead() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    dockster.lock()?.create(named("web"))?;
    let (_one, _) = dockster.container("one", &["bridge", "web"])?;
    let (two, _) = dockster.container("two", &["bridge"])?;
    drop(two);
    dockster.lock()?.sweep(|container| container == "one")?;
    assert_eq!(dockster.leases("bridge")?.len(), 1);
    assert_eq!(links()?.len(), 4);
    dockster.lock()?.sweep(|_| false)?;
    assert_eq!((dockster.leases("bridge")?, dockster.leases("web")?), (vec![], vec![]));
    assert_eq!(links()?, [""; 0]);
    dockster.lock()?.forget()?;
    assert!(!dockster.site.dir.exists());
    Ok(())
}

fn a_port_is_published_once() -> Result<(), Failed> {
    use ch04_network::{Ask, Port, Protocol};
    use std::os::fd::AsFd;
    let dockster = Dockster::new("dockster");
    let try_it = |name: &str, address: Option<&str>, host, protocol| -> Result<_, Failed> {
        let address = address.map(str::parse).transpose()?;
        let ports = vec![Port { protocol, address, host, container: 80 }];
        let netns = crate::hosts::Netns::new()?;
        let wish = Ask { ports, ..crate::hosts::ask(name, "bridge") };
        let leases = dockster.lock()?.attach(netns.0.as_fd(), &[wish]);
        Ok(leases.map(|_| netns))
    };
    let _one = try_it("one", Some("127.0.0.1"), 8080, Protocol::Tcp)??;
    for address in [None, Some("0.0.0.0"), Some("127.0.0.1")] {
        let words =
            format!("Bind for {}:8080 failed: port is already", address.unwrap_or("0.0.0.0"));
        refused(try_it("two", address, 8080, Protocol::Tcp)?, &words)?;
    }
    let _two = try_it("two", Some("::1"), 8080, Protocol::Tcp)??;
    let _three = try_it("three", Some("127.0.0.2"), 8080, Protocol::Tcp)??;
    let _four = try_it("four", None, 8080, Protocol::Udp)??;
    let _five = try_it("five", None, 8081, Protocol::Tcp)??;
    refused(try_it("six", Some("::"), 8081, Protocol::Tcp)?, "Bind for :::8081 failed")
}
