//! Chapter 4 from outside: links, addresses and leases on hosts that are network namespaces.
//!
//! Each test runs this program again, in a network namespace of its own, to play the host: the
//! real one's network is never touched. An ordinary user gets a user namespace with it.

mod attached;
mod beside;
mod crowds;
mod datagrams;
mod explains;
mod forwards;
mod hostile;
mod hosts;
mod kept;
mod killed;
mod lan;
mod names;
mod netd;
mod others;
mod packets;
mod proxy;
mod published;
mod room;
mod rules;
mod upstream;
mod whole;
mod world;

use dockster_tests::run;

fn main() {
    let rooms =
        [names::PARTS, hostile::PARTS, netd::PARTS, proxy::PARTS, datagrams::PARTS].concat();
    room::play(&rooms);
    let links: &[_] =
        &[attached::PARTS, beside::PARTS, crowds::PARTS, kept::PARTS, killed::PARTS].concat();
    let rules: &[_] = &[
        explains::PARTS,
        forwards::PARTS,
        packets::PARTS,
        published::PARTS,
        rules::PARTS,
        whole::PARTS,
    ]
    .concat();
    match std::env::var(hosts::PART) {
        Ok(part) => hosts::play(&[links, rules, others::PARTS, crowds::PLAYED].concat(), &part),
        Err(_) => {
            let trials = links.iter().map(hosts::trial_of).chain(rules.iter().map(lan::trial_of));
            run(trials
                .chain(killed::trials())
                .chain(room::trials(&rooms))
                .chain(others::trials())
                .collect())
        }
    }
}
