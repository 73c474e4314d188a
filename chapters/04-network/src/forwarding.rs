//! Catalogue: not needed to understand the chapter.
//!
//! Forwarding: what makes a router of a host.
//!
//! A packet that is not for the host itself is thrown away, unless forwarding is on
//! (ip-sysctl.rst, `ip_forward`). Containers need it, and it is the whole host's: so what
//! was there before is written down first, and put back when no Dockster needs it any more.
//! In between the guard of [`crate::Firewall`] sees that only containers gain by it: it
//! follows from the record, and stands before anything is switched on. So whoever is killed
//! on the way leaves a host that forwards nothing, or one with its guard.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use ch01_clone::{Context, Error, Result};
use netlink_packet_route::link::InfoKind;
use nix::fcntl::{Flock, FlockArg};

use crate::links::Links;
use crate::{Network, nft, store, sysctl};

/// Of which IP this host forwarded nothing before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
    /// The links that there were then.
    pub links: Vec<String>,
}

/// What is to be switched on: sysctls below /proc/sys/net in their order, and their values.
#[derive(Debug, Default)]
pub struct Off {
    keys: Vec<(String, &'static str)>,
}

impl Off {
    /// Whether it is anything: then the rules have to be rebuilt with the guard, first.
    pub fn any(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Switches it on. A link that is gone meanwhile is left out.
    pub fn switch_on(&self) -> Result<()> {
        let mut there = self.keys.iter().filter(|(key, _)| sysctl::is_there(key));
        there.try_for_each(|(key, value)| sysctl::write(key, value))
    }
}

const V4: &str = "ipv4/conf/all/forwarding";
const V6: &str = "ipv6/conf/all/forwarding";

/// What was there: sysctls below /proc/sys/net, and their values.
type Before = BTreeMap<String, String>;

/// The record of the network namespace that the caller is in.
#[derive(Debug)]
pub struct Forwarding {
    file: PathBuf,
    _lock: Flock<fs::File>,
}

impl Forwarding {
    /// Opens the record, which nobody else changes meanwhile. `dir` is common to all
    /// Docksters of the namespace, and empty after a boot: `/run/dockster`.
    pub fn open(dir: &Path) -> Result<Forwarding> {
        let namespace = fs::read_link("/proc/thread-self/ns/net")
            .call(|| "readlink(/proc/thread-self/ns/net)")?;
        let digits = |c: &char| c.is_ascii_digit();
        let number: String = namespace.to_string_lossy().chars().filter(digits).collect();
        fs::create_dir_all(dir).call(|| format!("mkdir({dir:?})"))?;
        let lock = fs::File::open(dir).call(|| format!("open({dir:?})"))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, errno)| Error::os(format!("flock({dir:?}, LOCK_EX)"), errno))?;
        Ok(Forwarding { file: dir.join(format!("forwarding-{number}.json")), _lock: lock })
    }

    /// What is off, and a network needs. From now on it is written down, and so in
    /// [`Forwarding::guard`]; it is switched on when the rules stand that say so.
    pub fn needed(&self, network: &Network) -> Result<Off> {
        let mut off = Off::default();
        // Nothing passes in or out of an internal network.
        if network.internal {
            return Ok(off);
        }
        let has = |v4: bool| network.ranges.iter().any(|range| range.gateway.is_ipv4() == v4);
        let mut before = self.read()?;
        if has(true) && sysctl::read(V4)? == "0" {
            off.keys.push((V4.to_owned(), "1"));
            before.extend(sysctl::of_each_link("ipv4", "forwarding")?);
            // Goes with it, as routers do not listen to redirects.
            let redirects = "ipv4/conf/all/accept_redirects";
            before.insert(redirects.into(), sysctl::read(redirects)?);
        }
        if has(false) && sysctl::read(V6)? == "0" {
            let listeners = listeners_to_routers()?;
            // A router does not listen to other routers either, and this host would lose
            // its own way out. 2 means: even if forwarding is on.
            off.keys.extend(listeners.keys().map(|key| (key.clone(), "2")));
            off.keys.push((V6.to_owned(), "1"));
            before.extend(sysctl::of_each_link("ipv6", "forwarding")?);
            before.extend(listeners);
        }
        if off.any() {
            store::write(&self.file, &before, false)?;
        }
        Ok(off)
    }

    /// Of what the rules are to let nothing pass but containers'.
    pub fn guard(&self) -> Result<Guard> {
        let before = self.read()?;
        let off = |key: &str| before.get(key).is_some_and(|value| value == "0");
        Ok(Guard { v4: off(V4), v6: off(V6), links: links_of(&before) })
    }

    /// Puts back what was there, unless the table of a Dockster stands: called when one's
    /// own is gone. A link that is gone meanwhile is left out.
    pub fn release(&self) -> Result<()> {
        let tables = nft::Socket::open().and_then(|socket| socket.tables())?;
        if tables.iter().any(|table| is_ours(table)) {
            return Ok(());
        }
        let mut before = self.read()?;
        if built_on(&before)? {
            // Their containers would lose their way out.
            before.clear();
        }
        // Setting it for all sets it for each; so each comes after all.
        let (all, each): (Before, Before) =
            before.into_iter().partition(|(key, _)| key.contains("/all/forwarding"));
        for (key, value) in all.iter().chain(&each) {
            match sysctl::read(key) {
                Ok(now) if now != *value => sysctl::write(key, value)?,
                _ => {}
            }
        }
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).call(|| format!("unlink({:?})", self.file))
            }
            _ => Ok(()),
        }
    }

    fn read(&self) -> Result<Before> {
        Ok(store::read(&self.file)?.unwrap_or_default())
    }
}

/// The links that a record speaks of.
fn links_of(before: &Before) -> Vec<String> {
    let link = |key: &String| {
        let (_, rest) = key.split_once("/conf/")?;
        rest.strip_suffix("/forwarding").map(str::to_owned)
    };
    let mut links: Vec<String> = before.keys().filter_map(link).collect();
    links.retain(|link| link != "all" && link != "default");
    links.sort();
    links.dedup();
    links
}

/// Whether somebody has made a bridge since: docker, libvirt and podman want a router, too,
/// and have found that the host is one already.
fn built_on(before: &Before) -> Result<bool> {
    let now = links_of(&sysctl::of_each_link("ipv4", "forwarding")?);
    let (then, links) = (links_of(before), Links::open()?);
    for name in now.iter().filter(|name| !before.is_empty() && !then.contains(name)) {
        let ours = name.as_str() == "dockster0" || name.starts_with("dk");
        let found = links.find(name).call(|| format!("RTM_GETLINK({name})"))?;
        if !ours && found.is_some_and(|link| link.kind == Some(InfoKind::Bridge)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Links that learn their routes from routers as long as they are none themselves.
fn listeners_to_routers() -> Result<Before> {
    let mut listeners = sysctl::of_each_link("ipv6", "accept_ra")?;
    listeners
        .retain(|key, value| value == "1" && !key.contains("/all/") && !key.contains("/default/"));
    Ok(listeners)
}

/// Whether a table is a Dockster's: `dockster`, or `dk` and eight hexadecimal digits.
pub fn is_ours(table: &str) -> bool {
    let hex = |rest: &str| rest.len() == 8 && rest.bytes().all(|b| b.is_ascii_hexdigit());
    table == "dockster" || table.strip_prefix("dk").is_some_and(hex)
}
