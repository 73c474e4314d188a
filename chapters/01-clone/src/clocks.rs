//! Catalogue: not needed to understand the chapter.
//!
//! Clocks of one's own.

use std::fs;

use nix::libc;
use nix::sched::{CloneFlags, unshare};

use crate::error::Result;
use crate::step;

/// The children that this process clones from now on live in a time namespace
/// whose clocks are off by so many seconds (time_namespaces(7)).
///
/// The offsets can only be written while nobody is in the namespace, so the
/// child cannot be cloned into it first, as into all others.
pub fn offset_clocks(monotonic: i64, boottime: i64) -> Result<()> {
    write_offsets(&format!("monotonic {monotonic} 0\nboottime {boottime} 0\n"))
}

/// The same, as /proc/PID/timens_offsets wants it: clock, seconds and nanoseconds a line.
pub(crate) fn write_offsets(offsets: &str) -> Result<()> {
    step!(
        "time-offsets",
        "A time namespace for the children to come: how long the machine has \
         been up is a matter of view, too.",
        "cat /proc/PID/timens_offsets",
        "unshare(CLONE_NEWTIME), write(/proc/self/timens_offsets, {offsets:?})",
        // ANCHOR: offsets
        unshare(CloneFlags::from_bits_retain(libc::CLONE_NEWTIME))
            .map_err(std::io::Error::from)
            .and_then(|()| fs::write("/proc/self/timens_offsets", offsets)),
        // ANCHOR_END: offsets
    )
}
