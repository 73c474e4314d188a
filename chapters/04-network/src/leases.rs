//! Who is on a network: leases are chosen, and written down.

use std::collections::HashSet;
use std::net::IpAddr;
use std::rc::Rc;

use ch01_clone::{Error, Result, step};

use crate::attach::Ask;
use crate::lease::Lease;
use crate::network::Network;
use crate::networks::Networks;
use crate::{addresses, store};

impl Networks {
    /// Who is on it. It is read once: under the lock nobody else changes it.
    pub fn leases(&self, network: &Network) -> Result<Rc<[Lease]>> {
        if let Some(leases) = self.read.borrow().get(&network.id) {
            return Ok(leases.clone());
        }
        let path = self.dir(&network.name).join("leases.json");
        let leases: Vec<Lease> = store::read_unless_lost(&path)?.unwrap_or_default();
        Ok(self.keep(network, leases))
    }

    fn keep(&self, network: &Network, leases: Vec<Lease>) -> Rc<[Lease]> {
        let leases = Rc::from(leases);
        self.read.borrow_mut().insert(network.id.clone(), Rc::clone(&leases));
        leases
    }

    /// The leases survive no restart of the machine, so they need not be on the disk.
    pub(crate) fn write_leases(&self, network: &Network, leases: Vec<Lease>) -> Result<()> {
        store::write(&self.dir(&network.name).join("leases.json"), &leases, false)?;
        self.keep(network, leases);
        Ok(())
    }

    /// Chooses what the container will have, and writes it down: from now on nobody else gets it,
    /// and whoever comes after a crash knows what to remove.
    pub(crate) fn lease(&mut self, network: &Network, ask: &Ask, interface: &str) -> Result<Lease> {
        let mut leases = self.leases(network)?.to_vec();
        if leases.iter().any(|lease| lease.container == ask.container) {
            let (name, network) = (&ask.name, &network.name);
            return Err(Error::new(format!(
                "endpoint with name {name} already exists in network {network}"
            )));
        }
        self.ports_free(&ask.ports)?;
        let taken: HashSet<IpAddr> =
            leases.iter().flat_map(|lease| &lease.addresses).map(|net| net.addr()).collect();
        let mut chosen = Vec::new();
        for range in &network.ranges {
            let asked = match range.subnet.addr() {
                IpAddr::V4(_) => ask.address.map(IpAddr::V4),
                IpAddr::V6(_) => ask.address6.map(IpAddr::V6),
            };
            chosen.push(addresses::choose(range, asked, &taken)?);
        }
        if ask.address6.is_some() && !network.ranges.iter().any(|r| r.subnet.addr().is_ipv6()) {
            return Err(Error::new(format!("network {} has no IPv6 addresses", network.name)));
        }
        let mac = match (&ask.mac, chosen.first().map(|net| net.addr())) {
            (Some(text), _) => addresses::parse_mac(text)?,
            (None, Some(IpAddr::V4(address))) => addresses::mac(address),
            (None, _) => return Err(Error::new(format!("network {} has no range", network.name))),
        };
        let lease = Lease {
            container: ask.container.clone(),
            name: ask.name.clone(),
            aliases: ask.aliases.clone(),
            addresses: chosen,
            mac: addresses::mac_text(mac),
            link: format!("dv{}", store::random::<6>()?),
            interface: interface.to_owned(),
            ports: ask.ports.clone(),
        };
        leases.push(lease.clone());
        let (name, first) = (&network.name, &lease.addresses[0]);
        step!(
            "lease",
            "What the container will have is written down before any of it is made.",
            "cat leases.json",
            "rename(leases.new, {name}/leases.json): {first}",
            self.write_leases(network, leases),
        )?;
        Ok(lease)
    }
}
