//! Where an exercise's program stops, so that its checker can look at it.
//!
//! The checker hands the program a socket; its number stands in `DOCKSTER_CHECKPOINT`.
//! Run by hand, there is no checker, and nothing stops.

#![forbid(unsafe_code)]

use std::io;
use std::os::fd::RawFd;

use nix::sys::socket::{MsgFlags, recv, send};

/// Stops here, at the point called `name`, until the checker has looked.
///
/// Any process of the program may call it, in any namespace and any root: what it
/// needs is the inherited socket, and no file.
pub fn reached(name: &str) -> io::Result<()> {
    let Some(socket) = socket() else { return Ok(()) };
    send(socket, name.as_bytes(), MsgFlags::MSG_NOSIGNAL)?;
    match recv(socket, &mut [0], MsgFlags::empty())? {
        0 => Err(io::Error::other("the checker is gone")),
        _ => Ok(()),
    }
}

fn socket() -> Option<RawFd> {
    std::env::var("DOCKSTER_CHECKPOINT").ok()?.parse().ok()
}
