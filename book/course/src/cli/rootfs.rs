//! `cargo x rootfs`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

/// Make a small root file system to play in
#[derive(Args, Debug)]
pub struct RootfsArgs {
    /// Where; else target/rootfs
    pub directory: Option<PathBuf>,
}

/// Runs it; the exit status.
pub fn rootfs(args: RootfsArgs) -> Result<u8> {
    let _ = args;
    anyhow::bail!("not there yet")
}
