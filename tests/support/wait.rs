//! Waiting for conditions, never for a time.

use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use crate::host::host;

/// A time limit as it counts on this machine.
pub fn scaled(limit: Duration) -> Duration {
    limit * host().scale
}

/// Waits until `condition` holds. After `limit` (scaled) it fails, naming `what`.
pub fn wait_until(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> bool,
) -> Result<(), Failed> {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > scaled(limit) {
            return Err(format!("after {:.1?}, still not so: {what}", start.elapsed()).into());
        }
        sleep(Duration::from_millis(5));
    }
    Ok(())
}
