//! Forwarding: what makes a router of a host.
//!
//! A packet that is not for the host itself is thrown away, unless forwarding is on
//! (ip-sysctl.rst, `ip_forward`). Containers need it, and it is the whole host's: so what
//! was there before is written down first, and put back when no Dockster needs it any more.
//! In between the guard of [`crate::Firewall`] sees that only containers gain by it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use ch01_clone::{Context, Error, Result};
use nix::fcntl::{Flock, FlockArg};

use crate::{Network, nft, store, sysctl};

/// Of which IP this host forwarded nothing before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guard {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

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

    /// Switches on what a network needs. `true`: something was off, and so the rules have to
    /// be rebuilt with the guard.
    pub fn need(&self, network: &Network) -> Result<bool> {
        // Nothing passes in or out of an internal network.
        if network.internal {
            return Ok(false);
        }
        let has = |v4: bool| network.ranges.iter().any(|range| range.gateway.is_ipv4() == v4);
        let v4 = has(true) && sysctl::read("ipv4/conf/all/forwarding")? == "0";
        let v6 = has(false) && sysctl::read("ipv6/conf/all/forwarding")? == "0";
        let mut before = self.read()?;
        if v4 {
            before.extend(sysctl::of_each_link("ipv4", "forwarding")?);
            // Goes with it, as routers do not listen to redirects.
            let redirects = "ipv4/conf/all/accept_redirects";
            before.insert(redirects.into(), sysctl::read(redirects)?);
        }
        let mut listeners = Before::new();
        if v6 {
            before.extend(sysctl::of_each_link("ipv6", "forwarding")?);
            listeners = listeners_to_routers()?;
            before.extend(listeners.clone());
        }
        if v4 || v6 {
            store::write(&self.file, &before, false)?;
        }
        if v4 {
            sysctl::write("ipv4/conf/all/forwarding", "1")?;
        }
        if v6 {
            // A router does not listen to other routers either, and this host would lose
            // its own way out. 2 means: even if forwarding is on.
            listeners.keys().try_for_each(|key| sysctl::write(key, "2"))?;
            sysctl::write("ipv6/conf/all/forwarding", "1")?;
        }
        Ok(v4 || v6)
    }

    /// Of what the rules are to let nothing pass but containers'.
    pub fn guard(&self) -> Result<Guard> {
        let before = self.read()?;
        let off = |key: &str| before.get(key).is_some_and(|value| value == "0");
        Ok(Guard { v4: off("ipv4/conf/all/forwarding"), v6: off("ipv6/conf/all/forwarding") })
    }

    /// Puts back what was there, unless the table of a Dockster stands: called when one's
    /// own is gone. A link that is gone meanwhile is left out.
    pub fn release(&self) -> Result<()> {
        let tables = nft::Socket::open().and_then(|socket| socket.tables())?;
        if tables.iter().any(|table| is_ours(table)) {
            return Ok(());
        }
        let before = self.read()?;
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

/// What a new bridge needs: it believes no router among its containers (CVE-2020-13401).
/// With `localhost` it also routes 127.0.0.0/8, so that what was sent to a port of
/// localhost can be sent on to a container. Both go with the bridge.
pub fn prepare(bridge: &str, localhost: bool) -> Result<()> {
    let routers = format!("ipv6/conf/{bridge}/accept_ra");
    // A host may have no IPv6 at all.
    if sysctl::is_there(&routers) {
        sysctl::write(&routers, "0")?;
    }
    if localhost {
        sysctl::write(&format!("ipv4/conf/{bridge}/route_localnet"), "1")?;
    }
    Ok(())
}
