//! `cargo x doctor`.

use anyhow::Result;
use clap::Args;

/// Say what on this machine stands in the way, and the cure
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Offer each change that this machine needs, one by one
    #[arg(long)]
    pub fix: bool,
}

/// Runs it; the exit status.
pub fn doctor(args: DoctorArgs) -> Result<u8> {
    let _ = args;
    anyhow::bail!("not there yet")
}
