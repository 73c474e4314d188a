//! Chapter 4 from outside: what the kernel and other hosts see of its networks.
//!
//! Each test runs this program again, in a network namespace of its own, and makes its hosts
//! out of more of them: the real one's network is never touched. An ordinary user gets a user
//! namespace with it.

mod forwards;
mod lan;
mod packets;
mod rules;
mod world;

use dockster_tests::run;

fn main() {
    let parts = [forwards::PARTS, packets::PARTS, rules::PARTS].concat();
    match std::env::var(lan::PART) {
        Ok(part) => lan::play(&parts, &part),
        Err(_) => run(parts.iter().map(lan::trial_of).collect()),
    }
}
