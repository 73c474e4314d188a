//! Where the host's ends of all wires lie: for root on the host itself, for an ordinary user
//! in a network namespace of their own, which a keeper holds.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::process::exit;

use ch01_clone::{Context, Error, Gate, Message, Plan, Result};
use ch04_network::netd::{self, Home, Netd};
use ch04_network::{Networks, Reach, Service, Work, services};
use nix::sched::{CloneFlags, setns};

use super::Engine;
use crate::rootless;
use crate::rootless::keeper::Keeper;

impl Engine {
    /// Changes what is on the wire, and then sees to it that somebody sits at each socket
    /// that is needed.
    pub(super) fn on_the_wire(
        &self,
        networks: &mut Networks,
        change: impl FnOnce(&mut Networks) -> Result<()>,
    ) -> Result<()> {
        if rootless::inside() {
            let done = self.apart(networks, change);
            return match anybody(networks)? {
                true => done,
                // Nobody needs the keeper, and least of all one that was for nothing.
                false => done.and(Keeper::end(&self.site().dir)),
            };
        }
        change(networks)?;
        let (wanted, home) = (self.wanted(networks, Reach::Host)?, Home::Host);
        let start = |socket| crate::netd::start(&self.site().dir, &home, socket);
        netd::bring_up(&self.site().dir, &wanted, Service::open, start)
    }

    /// The same of an ordinary user. Whoever has entered their network namespace has no way
    /// back into the host's: a clone of us does, and ends there.
    fn apart(
        &self,
        networks: &mut Networks,
        change: impl FnOnce(&mut Networks) -> Result<()>,
    ) -> Result<()> {
        let dir = self.site().dir;
        let keeper = Keeper::ensure(&dir)?;
        let home = Home::Apart { resolver: keeper.resolver };
        let namespace = keeper.network()?;
        let body = |gate: &Gate| {
            enter(&namespace)?;
            change(networks)?;
            let mut wanted = self.wanted(networks, Reach::Apart)?;
            if !wanted.is_empty() {
                Netd::ensure(&dir, |socket| crate::netd::start(&dir, &home, socket))?;
            }
            // Names are asked for in there.
            wanted.retain(|service| service.work == Work::Names);
            netd::bring_up(&dir, &wanted, Service::open, gone)?;
            gate.send(&Message::Exec)?;
            exit(0)
        };
        let ended = Plan::default().spawn(body)?.start().and_then(|(child, _)| child.wait());
        networks.read_again();
        ended?;
        // And ports are published out here.
        let mut wanted = self.wanted(networks, Reach::Apart)?;
        wanted.retain(|service| service.work != Work::Names);
        netd::bring_up(&dir, &wanted, Service::open, gone)
    }

    /// Tells a user that their networks lead nowhere: each time that the keeper is a new one
    /// if a network was `asked` for, and else once, until there is another reason.
    pub(super) fn tell_no_way_out(&self, asked: bool) -> Result<()> {
        match rootless::inside() {
            true => Keeper::tell_no_way_out(&self.site().dir, asked),
            false => Ok(()),
        }
    }

    /// Who answers for the host's resolvers behind a user's way out.
    pub(super) fn resolver(&self) -> Option<IpAddr> {
        let keeper = rootless::inside().then(|| Keeper::find(&self.site().dir)).flatten();
        keeper.and_then(|keeper| keeper.resolver)
    }

    /// Why a user's networks lead nowhere, if they do not.
    pub(super) fn no_way_out(&self) -> Option<String> {
        let keeper = rootless::inside().then(|| Keeper::find(&self.site().dir)).flatten();
        keeper.and_then(|keeper| keeper.no_way_out)
    }

    /// The sockets that are needed by all who are on networks now.
    fn wanted(&self, networks: &Networks, reach: Reach) -> Result<Vec<Service>> {
        let mut all = Vec::new();
        for network in networks.list() {
            all.push((network, networks.leases(network)?));
        }
        Ok(services(all.iter().map(|(network, leases)| (*network, &leases[..])), reach))
    }
}

/// It was there a moment ago.
fn gone(_: OwnedFd) -> Result<()> {
    Err(Error::new("netd has ended"))
}

fn enter(namespace: &File) -> Result<()> {
    setns(namespace, CloneFlags::CLONE_NEWNET).call(|| "setns(CLONE_NEWNET)")
}

fn anybody(networks: &Networks) -> Result<bool> {
    for network in networks.list() {
        if !networks.leases(network)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
