//! `cargo x without`.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

/// Build a chapter without one piece, and see what breaks
#[derive(Args, Debug)]
pub struct WithoutArgs {
    /// The piece: 01.gate
    pub piece: String,
    /// Other arguments for the program
    #[arg(last = true)]
    pub arguments: Vec<OsString>,
}

/// Runs it; the exit status.
pub fn without(args: WithoutArgs) -> Result<u8> {
    let _ = args;
    anyhow::bail!("not there yet")
}
