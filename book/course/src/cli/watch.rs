//! `cargo x watch`.

use anyhow::Result;
use clap::Args;

/// Check an exercise each time you save it
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// The exercise; else the one that you began last
    pub exercise: Option<String>,
}

/// Runs it; the exit status.
pub fn watch(args: WatchArgs) -> Result<u8> {
    let _ = args;
    anyhow::bail!("not there yet")
}
