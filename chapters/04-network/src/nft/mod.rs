//! Catalogue: not needed to understand the chapter.
//!
//! nftables without the program `nft`: tables, sets, chains and rules as the kernel takes
//! them over netlink, in batches of which all or nothing comes true (nft(8);
//! `linux/netfilter/nf_tables.h`). What it says is what `nft` would say for the same text,
//! so that `nft list table` shows it as written by hand.

mod batch;
mod chains;
mod expressions;
mod flows;
mod others;
mod play;
mod read;
mod registers;
mod set;
mod socket;
mod text;
mod words;

pub use batch::{Batch, Hook};
pub use expressions::Word;
pub use others::{Stop, Table};
pub use play::Packet;
pub use read::Rule;
pub use set::{Element, Kind, Set, Value};
pub use socket::Socket;
pub use words::*;
