//! `cargo x start`.

use std::fs;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use course::exercise::{self, Exercise};
use course::{mine, progress, say, tree};

/// Put an exercise into mine/
#[derive(Args, Debug)]
pub struct StartArgs {
    /// The exercise: 01.2
    pub exercise: String,
}

/// Runs it; the exit status.
pub fn start(args: StartArgs) -> Result<u8> {
    let tree = tree();
    let exercise = exercise::find(&tree, &args.exercise)?;
    let new = mine::start(&tree, &exercise)?;
    progress::change(&tree, &exercise.id, |_| {})?;
    if !new {
        println!("{} was begun before: nothing is changed.", exercise.id);
    }
    print!("{}", described(&exercise));
    println!("\nfile:     {}", place(&tree, &exercise)?);
    println!("editor:   open the folder mine in it");
    println!("then:     cargo x check {}", exercise.id);
    Ok(0)
}

fn described(exercise: &Exercise) -> String {
    let Exercise { id, title, lane, minutes, task, .. } = exercise;
    format!("{id} {title} ({lane}, {minutes} minutes)\n\n{}", say::prose(task))
}

/// The file to write in; of a hole, the line too.
fn place(tree: &Path, exercise: &Exercise) -> Result<String> {
    let file = mine::file(tree, exercise)?;
    let shown = file.strip_prefix(tree).unwrap_or(&file).display().to_string();
    let text = fs::read_to_string(&file).unwrap_or_default();
    let mark = format!("// HOLE: {}", exercise.id);
    Ok(match text.lines().position(|line| line.trim() == mark) {
        Some(above) => format!("{shown}:{}", above + 2),
        None => shown,
    })
}
