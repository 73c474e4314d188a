//! `cargo x start`.

use anyhow::Result;
use clap::Args;

/// Put an exercise into mine/
#[derive(Args, Debug)]
pub struct StartArgs {
    /// The exercise: 01.2
    pub exercise: String,
}

/// Runs it; the exit status.
pub fn start(args: StartArgs) -> Result<u8> {
    let _ = args;
    anyhow::bail!("not there yet")
}
