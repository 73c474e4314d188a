//! Catalogue: not needed to understand the chapter.
//!
//! Standing in another network namespace for a moment, and the settings that only a file has.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::BorrowedFd;

use ch01_clone::{Context, Error, Result};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

use crate::sysctl;

/// Does something in the network namespace `netns`, and comes back. It is the calling thread
/// that goes: what it opens there stays there, as a socket does.
pub fn within<T>(netns: BorrowedFd<'_>, f: impl FnOnce() -> Result<T>) -> Result<T> {
    let path = "/proc/thread-self/ns/net";
    let home = File::open(path).call(|| format!("open({path:?})"))?;
    setns(netns, CloneFlags::CLONE_NEWNET).call(|| "setns(the container's, CLONE_NEWNET)")?;
    let result = f();
    setns(home, CloneFlags::CLONE_NEWNET).call(|| "setns(our own, CLONE_NEWNET)")?;
    result
}

/// A link of ours, in the namespace that the calling thread is in, never believes a router that
/// announces itself: on the host's end such a router would be a container (CVE-2020-13401).
/// `ipv6`: it shall have addresses, which a host may have switched off for all new links.
pub fn distrust_routers(link: &str, ipv6: bool) -> Result<()> {
    set(link, "accept_ra", "0", ipv6)?;
    let path = format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6");
    // A write waits for the kernel's lock on all links by trying again and again: only if needed.
    match ipv6 && fs::read_to_string(path).is_ok_and(|value| value.trim() != "0") {
        true => set(link, "disable_ipv6", "0", ipv6),
        false => Ok(()),
    }
}

/// A bridge also routes 127.0.0.0/8, so that what was sent to a port of localhost can be sent on
/// to a container. It goes with the bridge.
pub fn route_localhost(bridge: &str) -> Result<()> {
    sysctl::write(&format!("ipv4/conf/{bridge}/route_localnet"), "1")
}

fn set(link: &str, setting: &str, value: &str, needed: bool) -> Result<()> {
    let path = format!("/proc/sys/net/ipv6/conf/{link}/{setting}");
    match fs::write(&path, value) {
        Err(error) if error.kind() == ErrorKind::NotFound && !needed => Ok(()),
        written => {
            written.call(|| format!("write({path:?}, {value})")).map_err(|error: Error| match error
                .errno
            {
                Some(Errno::ENOENT) => error.hint("this kernel has no IPv6: use a network without"),
                _ => error,
            })
        }
    }
}
