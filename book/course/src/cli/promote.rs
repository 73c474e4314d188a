//! `cargo x promote`.

use anyhow::Result;
use clap::Args;

/// Show how transcripts differ from what happens here, and accept it
#[derive(Args, Debug)]
pub struct PromoteArgs {
    /// Only this page: 01-clone/gate
    pub page: Option<String>,
}

/// Runs it; the exit status.
pub fn promote(args: PromoteArgs) -> Result<u8> {
    let _ = args;
    anyhow::bail!("not there yet")
}
