//! The rules: one table of nftables, a function of what is written down.
//!
//! The kernel asks the rules at five places of a packet's way (nft(8), "ADDRESS FAMILIES"):
//! when it has come in, when the host itself has sent it, on its way through, and when it is
//! about to leave. The rules are always the same; what differs from host to host lies in
//! sets and maps. So a container that comes or goes changes a few elements, however many
//! others are there, and the whole can be made anew in one batch at any time.
//!
//! Other tables have their own say: what one of them drops is dropped, and what ours
//! accepts they are still asked about.

use ch01_clone::Result;
use nix::errno::Errno;

use crate::elements::{SETS, of_guard, of_lease, of_network, udp_ports};
use crate::nft::{
    Batch, Family::V4, Family::V6, Hook, Link::*, Socket, accept, back, dnat_by_address,
    dnat_by_port, drop, family, from_127, from_local_v6, iif, iif_and_oif_in, iif_is_bridge, jump,
    known, masquerade, oif, oif_is_bridge, redirected, to_127, to_this_host, v6_not_to_localhost,
};
use crate::{Guard, Lease, Network};

/// The table of one Dockster.
#[derive(Debug)]
pub struct Firewall {
    table: String,
    socket: Socket,
}

impl Firewall {
    /// The table `inet PREFIX` of the network namespace that the caller is in now; there
    /// it works, wherever the caller goes later. Nothing is changed yet.
    pub fn new(prefix: &str) -> Result<Firewall> {
        Ok(Firewall { table: prefix.into(), socket: Socket::open()? })
    }

    /// Lets a lease in. `false`: the table or a part of it is not there (nobody was before,
    /// or somebody flushed it), so that it has to be rebuilt. EEXIST
    /// (EBUSY of some kernels): one of its ports is another's.
    pub fn admit(&self, network: &Network, lease: &Lease) -> Result<bool> {
        // ANCHOR: admit
        let mut batch = Batch::new(&self.table);
        batch.add(&of_network(network));
        batch.add(&of_lease(network, lease));
        let there = self.commit_if_there(&batch)?;
        self.socket.forget_udp(&udp_ports([lease]))?;
        Ok(there)
        // ANCHOR_END: admit
    }

    /// Takes what is published of a lease out again; `false` as with [`Firewall::admit`].
    pub fn dismiss(&self, network: &Network, lease: &Lease) -> Result<bool> {
        let mut batch = Batch::new(&self.table);
        batch.delete(&of_lease(network, lease));
        let there = self.commit_if_there(&batch)?;
        self.socket.forget_udp(&udp_ports([lease]))?;
        Ok(there)
    }

    /// Takes a network out on which nobody is any more; `false` as with [`Firewall::admit`].
    pub fn close(&self, network: &Network) -> Result<bool> {
        let mut batch = Batch::new(&self.table);
        batch.delete(&of_network(network));
        self.commit_if_there(&batch)
    }

    /// Makes the whole table anew, in one batch: there is no moment without it. Where the
    /// guard says so, what is neither from nor to a container stays where it is.
    pub fn rebuild(&self, all: &[(Network, Vec<Lease>)], guard: Guard) -> Result<()> {
        let mut batch = Batch::new(&self.table);
        // Added first, or there might be nothing to delete.
        batch.add_table("");
        batch.delete_table();
        batch.add_table("made of what is written in the networks' files");
        for (set, id) in SETS.iter().zip(1..) {
            batch.add_set(id, set);
        }
        rules(&mut batch, &guard);
        let mut elements = of_guard(&guard);
        for (network, leases) in all.iter().filter(|(_, leases)| !leases.is_empty()) {
            elements.extend(of_network(network));
            elements.extend(leases.iter().flat_map(|lease| of_lease(network, lease)));
        }
        elements.sort_by_key(|element| element.set);
        batch.add(&elements);
        self.socket.commit(&batch)?;
        self.socket.forget_udp(&udp_ports(all.iter().flat_map(|(_, leases)| leases)))
    }

    /// Takes the table away; that it is not there is no error.
    pub fn remove(&self) -> Result<()> {
        let mut batch = Batch::new(&self.table);
        batch.delete_table();
        self.commit_if_there(&batch).map(|_| ())
    }

    fn commit_if_there(&self, batch: &Batch) -> Result<bool> {
        match self.socket.commit(batch) {
            Err(error) if error.errno == Some(Errno::ENOENT) => Ok(false),
            other => other.map(|()| true),
        }
    }
}

/// The rules, in the order of a packet's way.
fn rules(batch: &mut Batch, guard: &Guard) {
    batch.add_chain("arriving", Some(Hook::Raw));
    // The networks' bridges route 127.0.0.0/8, for localhost's sake (see `leaving`). So
    // nobody but the host itself may use these addresses (RFC 1122, 3.2.1.3; CVE-2020-8558).
    // ANCHOR: martians
    batch.add_rule("arriving", "not from a neighbour", [iif(NotNamed("lo")), from_127(), drop()]);
    batch.add_rule("arriving", "nor to localhost", [iif(NotNamed("lo")), to_127(), drop()]);
    // ANCHOR_END: martians

    // A published port: the destination becomes the container's. One on a certain address
    // comes before one on all of them.
    batch.add_chain("published", None);
    batch.add_rule("published", "on this address", [dnat_by_address(V4, "ports4")]);
    batch.add_rule("published", "on every address", [dnat_by_port(V4, "anywhere4")]);
    batch.add_rule("published", "on this address", [dnat_by_address(V6, "ports6")]);
    batch.add_rule("published", "on every address", [dnat_by_port(V6, "anywhere6")]);

    batch.add_chain("incoming", Some(Hook::PreRouting));
    batch.add_rule(
        "incoming",
        "from outside, from containers",
        [to_this_host(), jump("published")],
    );

    batch.add_chain("outgoing", Some(Hook::Output));
    // The host's own go the same way, but for ::1, which never leaves lo: a proxy has it.
    batch.add_rule("outgoing", "from the host", [family(V4), to_this_host(), jump("published")]);
    batch.add_rule(
        "outgoing",
        "from the host",
        [v6_not_to_localhost(), to_this_host(), jump("published")],
    );

    guard_rules(batch);
    batch.add_chain("passing", Some(Hook::Forward));
    for (_, ip) in [(guard.v4, V4), (guard.v6, V6)].into_iter().filter(|(on, _)| *on) {
        // It was us who made a router of this host, and nobody asked for one.
        let words = [iif(NotIn("bridges")), oif(NotIn("bridges")), family(ip), jump("guard")];
        batch.add_rule("passing", "not ours", words);
    }
    // ANCHOR: passing
    batch.add_rule("passing", "answers", [known(), accept()]);
    batch.add_rule("passing", "neighbours", [iif_and_oif_in("within"), accept()]);
    batch.add_rule("passing", "no way out", [iif(In("internal")), drop()]);
    batch.add_rule("passing", "no way in", [oif(In("internal")), drop()]);
    batch.add_rule("passing", "to a published port", [oif(In("bridges")), redirected(), accept()]);
    // Neither another network nor the world may knock at a port that was not published.
    batch.add_rule("passing", "to nothing else", [oif(In("bridges")), drop()]);
    // ANCHOR_END: passing

    batch.add_chain("leaving", Some(Hook::PostRouting));
    // What comes from 127.0.0.1 could not be answered.
    batch.add_rule("leaving", "localhost", [oif(In("bridges")), from_127(), masquerade()]);
    // Neighbours would answer each other directly, with a source that nobody asked. Where
    // bridged packets pass the rules too (br_netfilter), no link is known as their first.
    // ANCHOR: hairpin
    for first in [In("bridges"), Named("")] {
        let words = [iif(first), oif(In("bridges")), redirected(), masquerade()];
        batch.add_rule("leaving", "hairpin", words);
    }
    // ANCHOR_END: hairpin
    // Outside nobody knows the way to a container's address; to one of IPv6 they may.
    let out = || [iif(In("bridges")), oif(NotIn("bridges"))];
    let words = out().into_iter().chain([family(V4), masquerade()]);
    batch.add_rule("leaving", "to the outside", words);
    let words = out().into_iter().chain([from_local_v6(), masquerade()]);
    batch.add_rule("leaving", "to the outside", words);
}

/// Another Dockster's links are not foreign: its own table judges them. And who makes a
/// bridge after us (docker, libvirt, podman) wants it routed: that is not ours to forbid.
fn guard_rules(batch: &mut Batch) {
    batch.add_chain("guard", None);
    for name in [Named("dockster0"), Begins("dk")] {
        batch.add_rule("guard", "another Dockster's", [iif(name), back()]);
        batch.add_rule("guard", "another Dockster's", [oif(name), back()]);
    }
    let made_since = [iif(NotIn("found")), iif_is_bridge(), back()];
    batch.add_rule("guard", "a bridge made since", made_since);
    let made_since = [oif(NotIn("found")), oif_is_bridge(), back()];
    batch.add_rule("guard", "a bridge made since", made_since);
    batch.add_rule("guard", "no way between foreign links", [drop()]);
}
