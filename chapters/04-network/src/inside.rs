//! Catalogue: not needed to understand the chapter.
//!
//! Standing in another network namespace for a moment, and the settings that only a file has.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::BorrowedFd;

use ch01_clone::{Context, Error, Result};
use nix::sched::{CloneFlags, setns};

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

/// What a link of ours does about IPv6, in the namespace that the calling thread is in: it has
/// the addresses that are leased, or none at all, and never believes a router that announces
/// itself. On the host's end such a router would be a container (CVE-2020-13401).
pub fn settle_ipv6(link: &str, wanted: bool) -> Result<()> {
    for (setting, value) in [("accept_ra", "0"), ("disable_ipv6", if wanted { "0" } else { "1" })] {
        let path = format!("/proc/sys/net/ipv6/conf/{link}/{setting}");
        match fs::write(&path, value) {
            // A kernel without IPv6.
            Err(error) if error.kind() == ErrorKind::NotFound && !wanted => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(error).call(|| format!("open({path:?})")).map_err(|error: Error| {
                    error.hint("this kernel has no IPv6: use a network without")
                });
            }
            other => other.call(|| format!("write({path:?}, {value})"))?,
        }
    }
    Ok(())
}
