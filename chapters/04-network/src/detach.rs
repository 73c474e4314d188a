//! Catalogue: not needed to understand the chapter.
//!
//! A container loses its wires, and what it had is given back.

use std::os::fd::BorrowedFd;

use ch01_clone::{Context, Error, Result, step};

use crate::attach::add_routes;
use crate::bridge;
use crate::forwarding::{Forwarding, Off};
use crate::host::Host;
use crate::inside::within;
use crate::lease::Lease;
use crate::links::Links;
use crate::network::Network;
use crate::networks::Networks;

impl Networks {
    /// Takes a container off all its networks. It goes on after an error, and tells of all.
    pub fn detach(&mut self, container: &str) -> Result<()> {
        self.release_where(|lease| lease.container == container)
    }

    /// Takes those off that are not alive any more: what somebody who was killed has left.
    /// `alive` is asked with a container's id.
    // ANCHOR: sweep
    pub fn sweep(&mut self, alive: impl Fn(&str) -> bool) -> Result<()> {
        self.release_where(|lease| !alive(&lease.container))
    }
    // ANCHOR_END: sweep

    /// Takes a container off one network. If it lives on in `netns` and this was its way out,
    /// another network's becomes it.
    pub fn disconnect(
        &mut self,
        network: &str,
        container: &str,
        netns: Option<BorrowedFd<'_>>,
    ) -> Result<()> {
        let network = self.find(network)?.clone();
        let leases = self.leases(&network)?;
        let Some(lease) = leases.iter().find(|lease| lease.container == container) else {
            let name = &network.name;
            return Err(Error::new(format!(
                "container {container} is not connected to network {name}"
            )));
        };
        self.release(&Host::open(&self.site)?, &network, lease)?;
        let Some(netns) = netns else { return Ok(()) };
        let inside = within(netns, Links::open)?;
        for network in self.list() {
            let leases = self.leases(network)?;
            if let Some(lease) = leases.iter().find(|lease| lease.container == container) {
                let link = inside.existing(&lease.interface)?;
                add_routes(&inside, network, &lease.interface, link.index)?;
            }
        }
        Ok(())
    }

    /// Makes all links and rules anew from what is written down, as far as they are not there.
    pub fn reload(&mut self) -> Result<()> {
        let host = Host::open(&self.site)?;
        let forwarding = Forwarding::open(&self.site.common)?;
        let (links, mut used) = (&host.links, Vec::new());
        for network in self.list() {
            let leases = self.leases(network)?;
            if leases.is_empty() {
                continue;
            }
            used.push(forwarding.needed(network)?);
            let bridge = self.bridge(links, network)?;
            for lease in leases.iter() {
                let name = &lease.link;
                let found = links.find(name).call(|| format!("RTM_GETLINK({name})"))?;
                if found.is_some() {
                    links
                        .set_bridge(name, bridge.index)
                        .call(|| format!("RTM_SETLINK({name}, master {})", network.bridge))?;
                }
            }
        }
        if used.is_empty() {
            return Ok(());
        }
        self.rebuild(&host, &forwarding)?;
        used.iter().try_for_each(Off::switch_on)
    }

    fn release_where(&mut self, gone: impl Fn(&Lease) -> bool) -> Result<()> {
        let mut errors = Vec::new();
        let mut host = None;
        for network in self.list().to_vec() {
            let leases = match self.leases(&network) {
                Ok(leases) => leases,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            for lease in leases.iter().filter(|lease| gone(lease)) {
                if host.is_none() {
                    host = Some(Host::open(&self.site)?);
                }
                let released =
                    host.as_ref().map_or(Ok(()), |host| self.release(host, &network, lease));
                errors.extend(released.err());
            }
        }
        together(errors)
    }

    /// Removes what was made of a lease, and then the lease. It stays when something else does:
    /// then nobody gets the address while it is in use, and the next sweep tries again.
    pub(crate) fn release(&mut self, host: &Host, network: &Network, lease: &Lease) -> Result<()> {
        let left: Vec<_> =
            self.leases(network)?.iter().filter(|other| *other != lease).cloned().collect();
        let link = lease.link.as_str();
        let mut errors = Vec::new();
        let last = self.last(network, left.len())?;
        let known = self.dismiss(host, network, lease, last);
        let rebuild = matches!(known, Ok(false));
        errors.extend(known.err());
        let unplugged = step!(
            "detach",
            "Without its end here the wire is gone, whoever has the other.",
            "ip link show type veth",
            "RTM_DELLINK({link})",
            host.links.delete(link),
        );
        errors.extend(unplugged.err());
        if left.is_empty() {
            errors.extend(bridge::remove(&host.links, network).err());
        }
        if !errors.is_empty() {
            return together(errors);
        }
        let (name, container) = (&network.name, &lease.container);
        step!(
            "detach",
            "Nothing is left of it: now somebody else may have the address.",
            "cat leases.json",
            "rename(leases.new, {name}/leases.json): without {container}",
            self.write_leases(network, left),
        )?;
        match rebuild {
            true => self.rebuild(host, &Forwarding::open(&self.site.common)?),
            false => Ok(()),
        }
    }
}

/// Several errors as one.
fn together(errors: Vec<Error>) -> Result<()> {
    let mut errors = errors.into_iter();
    let Some(mut first) = errors.next() else { return Ok(()) };
    let others: Vec<_> = errors.map(|error| error.to_string()).collect();
    if !others.is_empty() {
        first = first.hint(format!("and also: {}", others.join("; ")));
    }
    Err(first)
}
