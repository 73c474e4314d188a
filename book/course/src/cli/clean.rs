//! `cargo x clean`.

use anyhow::Result;
use clap::Args;

/// Take away what the course made outside of target and mine
#[derive(Args, Debug)]
pub struct CleanArgs {
    /// Also take back what `doctor --fix` changed
    #[arg(long)]
    pub host: bool,
}

/// Runs it; the exit status.
pub fn clean(args: CleanArgs) -> Result<u8> {
    let _ = args;
    anyhow::bail!("not there yet")
}
