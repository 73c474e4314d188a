//! `cargo x progress`.

use anyhow::Result;
use clap::Args;
use course::exercise::{self, Exercise};
use course::{mine, progress, tree};

/// What is done, and what comes next
#[derive(Args, Debug)]
pub struct ProgressArgs {}

/// Runs it; the exit status.
pub fn progress(_: ProgressArgs) -> Result<u8> {
    let tree = tree();
    let all = exercise::all(&tree)?;
    let marks = progress::all(&tree);
    let done = |id: &str| marks.iter().any(|mark| mark.id == id && mark.done);
    let mut chapter = "";
    for exercise in &all {
        if exercise.chapter != chapter {
            chapter = &exercise.chapter;
            println!("{chapter}");
        }
        let state = match () {
            () if done(&exercise.id) => "done",
            () if mine::folder(&tree, exercise).exists() => "begun",
            () => "open",
        };
        println!("{}", line(exercise, state));
    }
    let minutes = |wanted: bool| -> u32 {
        all.iter().filter(|e| done(&e.id) == wanted).map(|e| e.minutes).sum()
    };
    println!("done: {} minutes; to do: {} minutes", minutes(true), minutes(false));
    if let Some(Exercise { id, title, .. }) = all.iter().find(|e| !done(&e.id)) {
        println!("next: {id} {title}: cargo x start {id}");
    }
    Ok(0)
}

fn line(exercise: &Exercise, state: &str) -> String {
    let Exercise { id, title, lane, minutes, .. } = exercise;
    let title: String = title.chars().take(44).collect();
    format!("  {id:<5} {state:<6} {title:<44} {lane:<8} {minutes:>3} min")
}
