//! `cargo x book`.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use ch01_clone::error::Context;
use clap::Args;
use course::{programs, tree};

/// Make the book
#[derive(Args, Debug)]
pub struct BookArgs {
    /// And serve it on this machine
    #[arg(long)]
    pub serve: bool,
}

/// Makes it and says where it lies; or becomes the program that serves it, which says
/// where itself.
pub fn book(args: BookArgs) -> Result<u8> {
    let tree = tree::tree();
    let dir = tree::place(&tree, "book");
    let mut press = press(&tree)?;
    press.arg(if args.serve { "serve" } else { "build" }).arg("--dir").arg(&dir);
    if args.serve {
        let failed = press.exec();
        return Err(failed)
            .call(|| format!("execve({:?})", press.get_program()))
            .map_err(Into::into);
    }
    let status = press.status().call(|| format!("execve({:?})", press.get_program()))?;
    if !status.success() {
        bail!("the book is not made");
    }
    println!("{}", tree::shown(&dir.join("index.html")).display());
    Ok(0)
}

/// The program that makes it, built if need be. It is heavy, so it is not in this one.
fn press(tree: &Path) -> Result<Command> {
    let mut command = match programs::programs() {
        Some(dir) => Command::new(programs::program(&dir, "press")?),
        None => {
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
            cargo.args(["run", "--quiet", "--package", "dockster-press", "--"]);
            cargo
        }
    };
    command.current_dir(tree);
    Ok(command)
}
