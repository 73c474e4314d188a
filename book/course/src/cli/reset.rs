//! `cargo x reset`.

use anyhow::Result;
use clap::Args;
use course::{exercise, mine, tree};

/// Begin an exercise anew; what you wrote is kept beside it
#[derive(Args, Debug)]
pub struct ResetArgs {
    /// The exercise: 01.2
    pub exercise: String,
}

/// Runs it; the exit status.
pub fn reset(args: ResetArgs) -> Result<u8> {
    let tree = tree();
    let exercise = exercise::find(&tree, &args.exercise)?;
    let kept = mine::reset(&tree, &exercise)?;
    println!("{} is as it was at the beginning.", exercise.id);
    for file in kept {
        println!("yours:    {}", file.strip_prefix(&tree).unwrap_or(&file).display());
    }
    Ok(0)
}
