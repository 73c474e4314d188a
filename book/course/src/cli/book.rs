//! `cargo x book`.

use anyhow::Result;
use clap::Args;

/// Make the book
#[derive(Args, Debug)]
pub struct BookArgs {
    /// And serve it on this machine
    #[arg(long)]
    pub serve: bool,
}

/// Runs it; the exit status.
pub fn book(args: BookArgs) -> Result<u8> {
    let _ = args;
    anyhow::bail!("not there yet")
}
