//! `cargo x hint`.

use anyhow::{Result, bail};
use clap::Args;
use course::{progress, say, tree};

use super::check::begun;

/// A hint that fits what the last check saw
#[derive(Args, Debug)]
pub struct HintArgs {
    /// The exercise: 01.2
    pub exercise: String,
}

/// Runs it; the exit status. Each call tells a little more, until there is no more.
pub fn hint(args: HintArgs) -> Result<u8> {
    let tree = tree();
    let exercise = begun(&tree, &args.exercise)?;
    let id = &exercise.id;
    let hints = exercise.hints(&progress::of(&tree, id).section)?;
    if hints.is_empty() {
        bail!("there is no hint for what was seen; the page is {}", exercise.page);
    }
    let mark = progress::change(&tree, id, |mark| mark.hints = (mark.hints + 1).min(hints.len()))?;
    println!("{id} {}, hint {} of {}", exercise.title, mark.hints, hints.len());
    print!("{}", say::paragraph(&hints[mark.hints - 1], 0));
    if mark.hints == hints.len() {
        println!("That is the last one for what the check saw. The page: {}", exercise.page);
    }
    Ok(0)
}
