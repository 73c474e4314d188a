//! `cargo x rootfs`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use course::{rootfs, tree};

/// Make a small root file system to play in
#[derive(Args, Debug)]
pub struct RootfsArgs {
    /// Where; else target/rootfs
    pub directory: Option<PathBuf>,
}

/// Runs it; the exit status.
pub fn rootfs(args: RootfsArgs) -> Result<u8> {
    let usual = || tree::place(&tree::tree(), "rootfs");
    let directory = args.directory.unwrap_or_else(usual);
    rootfs::make(&directory)?;
    println!("{}", tree::shown(&directory).display());
    Ok(0)
}
