//! `cargo x without`.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use course::cargo::cargo;
use course::sync::sync;
use course::without::{self, Piece};
use course::{say, tree};

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
    let tree = tree();
    let piece = without::find(&tree, &args.piece)?;
    show(&piece);
    let (copy, target) = (tree.join("target/without/tree"), tree.join("target/without/target"));
    sync(&tree, &copy)?;
    piece.apply(&copy)?;
    let built = cargo(&copy, Some(&target), &["build", "--quiet", "-p", &piece.package()])?;
    if !built.status.success() {
        eprint!("{}", String::from_utf8_lossy(&built.stderr));
        bail!("without it the chapter does not build");
    }
    let arguments = match args.arguments.is_empty() {
        true => piece.run.iter().map(OsString::from).collect(),
        false => args.arguments,
    };
    let shown: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    println!("run:      {} {}\n", piece.chapter, say::quoted(&shown));
    // In the lab: a runtime with a piece missing is not to be trusted.
    let status = Command::new(std::env::current_exe()?)
        .args(["lab", piece.id.split('.').next().unwrap_or_default(), "--"])
        .arg(target.join("debug").join(&piece.chapter))
        .args(arguments)
        .status()
        .context("cannot start the lab")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(255))
}

fn show(piece: &Piece) {
    println!("without:  {}", piece.what);
    for file in piece.files() {
        println!("in:       {}", file.display());
    }
    for line in piece.changes() {
        println!("  {}", line.trim_end());
    }
    println!("breaks:   the test {} of the suite {}", piece.test.1, piece.test.0);
}
