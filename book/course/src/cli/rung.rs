//! `cargo x rung`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;
use course::cargo::cargo;
use course::programs::target;
use course::rung::{self, Rung};
use course::{programs, tree};

/// Run one of the small programs that a chapter begins with
#[derive(Args, Debug)]
pub struct RungArgs {
    /// The rung: 01.1
    pub rung: String,
    /// Its arguments
    #[arg(last = true)]
    pub arguments: Vec<OsString>,
}

/// Runs it in our place: the terminal is its own. Returns only if that fails.
pub fn rung(args: RungArgs) -> Result<u8> {
    let rung = rung::find(&tree(), &args.rung)?;
    let program = match programs() {
        Some(dir) => dir.join("examples").join(rung.example()),
        None => built(&rung)?,
    };
    let failed = Command::new(&program).args(args.arguments).exec();
    bail!("{}: {failed}", program.display())
}

fn built(rung: &Rung) -> Result<PathBuf> {
    let tree = tree();
    let args = ["build", "--quiet", "-p", &rung.package(), "--example", &rung.example()];
    let target = target(&tree);
    let done = cargo(&tree, Some(&target), &args)?;
    if !done.status.success() {
        eprint!("{}", String::from_utf8_lossy(&done.stderr));
        bail!("rung {} does not compile", rung.id);
    }
    Ok(target.join("debug/examples").join(rung.example()))
}
