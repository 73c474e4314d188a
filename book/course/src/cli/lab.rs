//! `cargo x lab`.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

/// Open a shell in a sandbox, where nothing can hurt this machine
#[derive(Args, Debug)]
pub struct LabArgs {
    /// The chapter: 02
    pub chapter: String,
    /// Another program than a shell
    #[arg(last = true)]
    pub command: Vec<OsString>,
}

/// Runs it; the exit status.
pub fn lab(args: LabArgs) -> Result<u8> {
    let _ = args;
    anyhow::bail!("not there yet")
}
