//! `cargo x progress`.

use anyhow::Result;
use clap::Args;

/// What is done, and what comes next
#[derive(Args, Debug)]
pub struct ProgressArgs {}

/// Runs it; the exit status.
pub fn progress(args: ProgressArgs) -> Result<u8> {
    let _ = args;
    anyhow::bail!("not there yet")
}
