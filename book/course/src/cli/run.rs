//! `cargo x run`.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;
use course::run::Run;

/// Build a chapter's program and run it
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The chapter: 01
    pub chapter: String,
    /// Start the program as root, by sudo or doas; it is still built as you
    #[arg(long)]
    pub root: bool,
    /// The one in which you filled the hole
    #[arg(long)]
    pub mine: bool,
    /// The program's arguments
    #[arg(last = true)]
    pub arguments: Vec<OsString>,
}

/// Runs it; the exit status.
pub fn run(args: RunArgs) -> Result<u8> {
    let RunArgs { chapter, root, mine, arguments } = args;
    Run { chapter, root, mine, arguments }.exec()
}
