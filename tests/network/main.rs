//! Chapter 4 from outside: links, addresses and leases on hosts that are network namespaces.
//!
//! Each test runs this program again, in a network namespace of its own, to play the host: the
//! real one's network is never touched. An ordinary user gets a user namespace with it.

mod attached;
mod beside;
mod crowds;
mod hosts;
mod kept;
mod killed;

use dockster_tests::run;

fn main() {
    let parts: Vec<_> =
        [attached::PARTS, beside::PARTS, crowds::PARTS, kept::PARTS, killed::PARTS].concat();
    match std::env::var(hosts::PART) {
        Ok(part) => hosts::play(&[parts, crowds::PLAYED.to_vec()].concat(), &part),
        Err(_) => run(parts.iter().map(hosts::trial_of).chain(killed::trials()).collect()),
    }
}
