//! `cargo x rung`.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

/// Run one of the small programs that a chapter begins with
#[derive(Args, Debug)]
pub struct RungArgs {
    /// The rung: 01.1
    pub rung: String,
    /// Its arguments
    #[arg(last = true)]
    pub arguments: Vec<OsString>,
}

/// Runs it; the exit status.
pub fn rung(args: RungArgs) -> Result<u8> {
    let _ = args;
    anyhow::bail!("not there yet")
}
