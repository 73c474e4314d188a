//! Catalogue: not needed to understand the chapter.
//!
//! Which ranges a new network gets.

use std::net::IpAddr;

use ch01_clone::{Error, Result};
use ipnet::IpNet;

use crate::addresses::{self, OVERLAPS, overlap};
use crate::links::Links;
use crate::network::{Network, Range};
use crate::networks::{DEFAULT, Networks, New};

impl Networks {
    /// The ranges of a network to be made: those asked for, if they are free, else free ones.
    pub(crate) fn ranges(&mut self, new: &New, id: &str) -> Result<Vec<Range>> {
        let (ours, host) = (self.taken(), Links::open()?.routes()?);
        let taken: Vec<_> = ours.iter().chain(&host).map(|(range, _)| *range).collect();
        let mut subnets = Vec::new();
        for ipv4 in [true, false] {
            let mut asked = new.subnets.iter().filter(|subnet| subnet.addr().is_ipv4() == ipv4);
            match (asked.next(), asked.next()) {
                (Some(_), Some(other)) => {
                    return Err(Error::new(format!("{other}: one range of each family is enough")));
                }
                (Some(subnet), None) => {
                    free(subnet, ours.iter().chain(&host))?;
                    subnets.push(*subnet);
                }
                (None, _) if ipv4 => subnets.push(self.pool(&taken, &new.name)?),
                (None, _) if new.ipv6 => {
                    subnets.push(addresses::free_range(addresses::local_pools(id), &taken)?);
                }
                (None, _) => {}
            }
        }
        with_gateways(&subnets, &new.gateways)
    }

    /// A free one of the default pools; it is noted when the first was not.
    fn pool(&mut self, taken: &[IpNet], name: &str) -> Result<IpNet> {
        let pool = addresses::free_range(addresses::pools(), taken)?;
        if let (DEFAULT, Some(first)) = (name, addresses::pools().next().filter(|f| *f != pool)) {
            self.notes.push(format!("network {name}: {first} is in use here, so it has {pool}"));
        }
        Ok(pool)
    }

    /// The ranges of all networks, and whose they are.
    fn taken(&self) -> Vec<(IpNet, String)> {
        let of = |network: &Network| {
            let whose = format!("network {}", network.name);
            network
                .ranges
                .iter()
                .map(move |range| (range.subnet, whose.clone()))
                .collect::<Vec<_>>()
        };
        self.list().iter().flat_map(of).collect()
    }
}

/// Whether a range that was asked for is nobody else's.
fn free<'a>(subnet: &IpNet, taken: impl Iterator<Item = &'a (IpNet, String)>) -> Result<()> {
    let mut taken = taken;
    match taken.find(|(other, _)| overlap(subnet, other)) {
        Some((other, whose)) => Err(Error::new(format!(
            "invalid pool request: {OVERLAPS}: {subnet} and {other} ({whose})"
        ))),
        None => Ok(()),
    }
}

fn with_gateways(subnets: &[IpNet], gateways: &[IpAddr]) -> Result<Vec<Range>> {
    let inside = |gateway: &IpAddr| subnets.iter().any(|subnet| subnet.contains(gateway));
    if let Some(gateway) = gateways.iter().find(|gateway| !inside(gateway)) {
        return Err(Error::new(format!("no matching subnet for gateway {gateway}")));
    }
    let of = |subnet: &IpNet| gateways.iter().find(|gateway| subnet.contains(*gateway)).copied();
    subnets.iter().map(|subnet| addresses::range(*subnet, of(subnet))).collect()
}
