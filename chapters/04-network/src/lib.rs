//! Chapter 4: a wire to the others, and to the world.
//!
//! What is on the wire follows from what is written down: [`Network`]s, and the
//! [`Lease`]s of who is on them. Links, rules and names are made of these two, and can be
//! made anew from them at any time.

#![forbid(unsafe_code)]

pub mod addresses;
mod answers;
pub mod attach;
mod bounds;
mod bridge;
pub mod choice;
mod datagrams;
mod detach;
mod elements;
pub mod explain;
pub mod files;
pub mod firewall;
pub mod forwarding;
mod hairpin;
mod host;
pub mod inside;
mod known;
pub mod lease;
mod leases;
mod legacy;
pub mod link;
pub mod links;
mod listen;
mod names;
pub mod netd;
pub mod network;
pub mod networks;
pub mod nft;
pub mod obstacles;
pub mod ports;
mod proxy;
mod ranges;
pub mod resolvers;
mod routes;
mod services;
mod settings;
mod store;
mod sysctl;
mod upstream;

pub use attach::Ask;
pub use firewall::Firewall;
pub use forwarding::{Forwarding, Guard, Off};
pub use lease::{Lease, Port, Protocol};
pub use network::{Network, Range};
pub use networks::{DEFAULT, Networks, New, Site};
pub use services::{Reach, Service, Work, services};
