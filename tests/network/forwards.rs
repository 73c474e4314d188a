//! Forwarding is switched on where it is needed, and put back.

use std::path::Path;

use ch04_network::{Firewall, Forwarding, Guard, Network};
use dockster_tests::{Failed, TempDir};

use crate::hosts::Part;
use crate::lan::Host;
use crate::world::network;

pub const PARTS: &[Part] = &[
    ("forwarding_is_put_back_as_it_was", put_back),
    ("a_router_stays_a_router", router),
    ("forwarding_goes_with_the_last_dockster", last),
    ("forwarding_stays_for_who_has_built_on_it", built_on),
];

const V4: &str = "ipv4/conf/all/forwarding";
const V6: &str = "ipv6/conf/all/forwarding";

/// A host with two links, and the record's directory.
fn host() -> Result<(Host, Host, TempDir), Failed> {
    let (host, outside) = (Host::new()?, Host::new()?);
    host.wire("eth0", &outside, "eth0")?;
    host.wire("eth1", &outside, "eth1")?;
    Ok((host, outside, TempDir::new()))
}

/// All of the settings that could be touched, one a line.
fn settings(host: &Host) -> Result<String, Failed> {
    let mut all = String::new();
    for link in ["all", "default", "eth0", "eth1", "lo"] {
        for name in ["forwarding", "accept_redirects"] {
            for ip in ["ipv4", "ipv6"] {
                let key = format!("{ip}/conf/{link}/{name}");
                all += &format!("{key} {}\n", host.sysctl(&key)?);
            }
        }
        let key = format!("ipv6/conf/{link}/accept_ra");
        all += &format!("{key} {}\n", host.sysctl(&key)?);
    }
    Ok(all)
}

/// Switches on what is off; whether it was anything.
fn need(host: &Host, dir: &Path, network: &Network) -> Result<bool, Failed> {
    let off = host.within(|| {
        let off = Forwarding::open(dir)?.needed(network)?;
        off.switch_on().map(|()| off)
    })?;
    Ok(off.any())
}

fn guard(host: &Host, dir: &Path) -> Result<Guard, Failed> {
    Ok(host.within(|| Forwarding::open(dir)?.guard())?)
}

/// Of which IP.
fn guarded(host: &Host, dir: &Path) -> Result<(bool, bool), Failed> {
    let guard = guard(host, dir)?;
    assert_eq!(guard.links, ["eth0", "eth1", "lo"]);
    Ok((guard.v4, guard.v6))
}

fn release(host: &Host, dir: &Path) -> Result<(), Failed> {
    Ok(host.within(|| Forwarding::open(dir)?.release())?)
}

fn only_v4(mut network: Network) -> Network {
    network.ranges.truncate(1);
    network
}

fn put_back() -> Result<(), Failed> {
    let (host, _outside, dir) = host()?;
    let dir = dir.path();
    for (key, value) in [
        ("ipv4/conf/all/accept_redirects", "0"),
        ("ipv4/conf/eth1/forwarding", "1"),
        ("ipv6/conf/eth0/accept_ra", "1"),
        ("ipv6/conf/eth1/accept_ra", "0"),
    ] {
        host.set_sysctl(key, value)?;
    }
    let before = settings(&host)?;
    // A closed network needs nothing.
    assert!(!need(&host, dir, &network("dk-000000000001", 18, true))?);
    assert_eq!(settings(&host)?, before);

    let net = network("dockster0", 17, false);
    assert!(need(&host, dir, &only_v4(net.clone()))?);
    assert_eq!((host.sysctl(V4)?.as_str(), host.sysctl(V6)?.as_str()), ("1", "0"));
    assert_eq!(guarded(&host, dir)?, (true, false));
    assert!(!need(&host, dir, &only_v4(net.clone()))?, "it is on already");

    assert!(need(&host, dir, &net)?);
    assert_eq!((host.sysctl(V4)?.as_str(), host.sysctl(V6)?.as_str()), ("1", "1"));
    assert_eq!(guarded(&host, dir)?, (true, true));
    // It still learns from routers where it did, and nowhere else.
    assert_eq!(host.sysctl("ipv6/conf/eth0/accept_ra")?, "2");
    assert_eq!(host.sysctl("ipv6/conf/eth1/accept_ra")?, "0");

    release(&host, dir)?;
    assert_eq!(settings(&host)?, before);
    assert_eq!(std::fs::read_dir(dir)?.count(), 0, "the record is gone");
    release(&host, dir)
}

fn router() -> Result<(), Failed> {
    let (host, _outside, dir) = host()?;
    host.set_sysctl(V4, "1")?;
    host.set_sysctl(V6, "1")?;
    let before = settings(&host)?;
    assert!(!need(&host, dir.path(), &network("dockster0", 17, false))?);
    assert_eq!(guard(&host, dir.path())?, Guard::default());
    release(&host, dir.path())?;
    assert_eq!(settings(&host)?, before);
    Ok(())
}

fn last() -> Result<(), Failed> {
    let (host, _outside, dir) = host()?;
    let dir = dir.path();
    let before = settings(&host)?;
    let firewalls = ["dockster", "dk0a1b2c3d"].map(|name| host.within(|| Firewall::new(name)));
    let [first, second] = firewalls;
    let (first, second) = (first?, second?);
    host.nft("add table inet dkforeign")?;
    let net = network("dockster0", 17, false);
    assert!(need(&host, dir, &net)?);
    first.rebuild(&[], guard(&host, dir)?)?;
    assert!(!need(&host, dir, &net)?, "the other finds it on");
    second.rebuild(&[], guard(&host, dir)?)?;
    first.remove()?;
    release(&host, dir)?;
    assert_eq!(host.sysctl(V4)?, "1");
    assert_eq!(guarded(&host, dir)?, (true, true));
    second.remove()?;
    release(&host, dir)?;
    assert_eq!(settings(&host)?, before);
    Ok(())
}

/// docker, libvirt or podman came later, and found a router: it is one for them, too.
fn built_on() -> Result<(), Failed> {
    let (host, _outside, dir) = host()?;
    let dir = dir.path();
    let net = network("dockster0", 17, false);
    assert!(need(&host, dir, &net)?);
    host.ip("link add docker0 type bridge")?;
    release(&host, dir)?;
    assert_eq!((host.sysctl(V4)?.as_str(), host.sysctl(V6)?.as_str()), ("1", "1"));
    assert_eq!(guard(&host, dir)?, Guard::default(), "the record is gone");
    Ok(())
}
