//! Catalogue: not needed to understand the chapter.
//!
//! The host's side of a wire: links and rules, and what is common to all who are on it.

use std::path::PathBuf;

use ch01_clone::{Result, step};

use crate::lease::Lease;
use crate::links::Links;
use crate::network::Network;
use crate::networks::{Networks, Site};
use crate::{Firewall, Forwarding};

/// Two sockets of the network namespace that they were opened in.
pub(crate) struct Host {
    pub links: Links,
    pub firewall: Firewall,
}

impl Host {
    pub fn open(site: &Site) -> Result<Self> {
        Ok(Host { links: Links::open()?, firewall: Firewall::new(&site.prefix)? })
    }
}

impl Networks {
    /// Lets packets of a lease through: it is one of those whom the rules know. First come
    /// these, with the guard if it was us who made a router of this host, and then it is one.
    pub(crate) fn admit(&self, host: &Host, network: &Network, lease: &Lease) -> Result<()> {
        let forwarding = Forwarding::open(&self.site.common)?;
        let off = forwarding.needed(network)?;
        let (table, addresses, name) = (&self.site.prefix, in_words(lease), &network.name);
        let known = step!(
            "nat",
            "The container's addresses mean nothing outside: what leaves goes under the \
             host's own. Nobody comes in but by a published port, or from the same network.",
            "nft list ruleset inet",
            "NFT_MSG_NEWSETELEM(inet {table}): {name}, {addresses}",
            host.firewall.admit(network, lease),
        )?;
        if !known || off.any() {
            self.rebuild(host, &forwarding)?;
        }
        step!(
            "forwarding",
            "What is for somebody else a host throws away, unless it is told to be a router. \
             What was set before is written down, and put back with the last container.",
            "sysctl net.ipv4.ip_forward",
            "write(/proc/sys/net/…/forwarding, 1), for the network {name}",
            off.switch_on(),
        )
    }

    /// Makes all rules anew from what is written down.
    pub(crate) fn rebuild(&self, host: &Host, forwarding: &Forwarding) -> Result<()> {
        let mut all = Vec::new();
        for network in self.list() {
            all.push((network.clone(), self.leases(network)?.to_vec()));
        }
        let (table, guard) = (&self.site.prefix, forwarding.guard()?);
        step!(
            "nat",
            "The table is a function of what is written down. It is not there, or not as it \
             has to be: so it is made anew, in one step.",
            "nft list ruleset inet",
            "NFT_MSG_NEWTABLE(inet {table}), and all that is in it",
            host.firewall.rebuild(&all, guard),
        )
    }

    /// Takes a lease out of the rules, with the last one its network, and with the last of all
    /// the whole table; then forwarding is what it was before. `false`: the rules are not what
    /// they should be, so that they have to be rebuilt for those who are left.
    pub(crate) fn dismiss(
        &self,
        host: &Host,
        network: &Network,
        lease: &Lease,
        last: Last,
    ) -> Result<bool> {
        let (firewall, table, name) = (&host.firewall, &self.site.prefix, &network.name);
        let known = step!(
            "detach",
            "Whatever was published leads nowhere any more. The table goes with the last.",
            "nft list ruleset inet",
            "NFT_MSG_DELSETELEM(inet {table}), for a lease of {name}",
            match last {
                Last::OfAll => firewall.remove().map(|()| true),
                Last::OfNetwork => firewall
                    .dismiss(network, lease)
                    .and_then(|known| { firewall.close(network).map(|also| known && also) }),
                Last::No => firewall.dismiss(network, lease),
            },
        )?;
        if last == Last::OfAll {
            Forwarding::open(&self.site.common)?.release()?;
        }
        Ok(known)
    }

    /// Whether others are left beside this one.
    pub(crate) fn last(&self, network: &Network, others: usize) -> Result<Last> {
        if others > 0 {
            return Ok(Last::No);
        }
        for other in self.list().iter().filter(|other| other.id != network.id) {
            if !self.leases(other)?.is_empty() {
                return Ok(Last::OfNetwork);
            }
        }
        Ok(Last::OfAll)
    }
}

/// Whether one who goes is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    No,
    OfNetwork,
    OfAll,
}

fn in_words(lease: &Lease) -> String {
    let addresses: Vec<_> = lease.addresses.iter().map(|net| net.addr().to_string()).collect();
    addresses.join(" ")
}

/// Where the Docksters of a network namespace write down what they have changed for all.
pub(crate) fn common(dir: &std::path::Path) -> PathBuf {
    // Only whoever is root of the whole machine shares its network with other Docksters.
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
    match whole && nix::unistd::geteuid().is_root() {
        true => PathBuf::from("/run/dockster"),
        false => dir.join(".common"),
    }
}
