//! `cargo x check`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use course::check::{Outcome, check as judged};
use course::exercise::{self, Exercise};
use course::judge::{Verdict, judge};
use course::{mine, progress, say, tree};

/// Check an exercise, or all of a chapter
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The exercise: 01.2; or a chapter: 01
    pub exercise: String,
    /// Judge this program, built already: for who writes exercises
    #[arg(long, value_name = "FILE", hide = true)]
    program: Option<PathBuf>,
}

/// Runs it; the exit status: 0 if all is right.
pub fn check(args: CheckArgs) -> Result<u8> {
    let tree = tree();
    if let Some(program) = args.program {
        return built(&exercise::find(&tree, &args.exercise)?, &program);
    }
    let wanted = if args.exercise.contains('.') {
        vec![begun(&tree, &args.exercise)?]
    } else {
        let chapter = exercise::whole(&args.exercise);
        let mut all = mine::begun(&tree)?;
        all.retain(|exercise| exercise.number() == chapter);
        if all.is_empty() {
            bail!("nothing of chapter {chapter} is begun: cargo x start {chapter}.1");
        }
        all
    };
    let mut right = true;
    for (number, exercise) in wanted.iter().enumerate() {
        if number > 0 {
            println!();
        }
        right &= one(&tree, exercise)?;
    }
    Ok(u8::from(!right))
}

/// A program that somebody has built: nothing is written down.
fn built(exercise: &Exercise, program: &Path) -> Result<u8> {
    let outcome = match judge(&std::env::current_exe()?, exercise, &program.canonicalize()?) {
        Ok(seen) => Outcome::Done(seen),
        Err(verdict) => Outcome::Not(verdict),
    };
    print!("{}", say::outcome(exercise, &outcome, "-"));
    Ok(u8::from(!matches!(outcome, Outcome::Done(_))))
}

/// An exercise that the learner has begun.
pub fn begun(tree: &Path, id: &str) -> Result<Exercise> {
    let exercise = exercise::find(tree, id)?;
    let id = &exercise.id;
    if !mine::folder(tree, &exercise).exists() {
        bail!("{id} is not begun: cargo x start {id}");
    }
    Ok(exercise)
}

/// Checks one, says what came out, and writes it down; whether it is right.
pub fn one(tree: &Path, exercise: &Exercise) -> Result<bool> {
    let x = std::env::current_exe().context("where is this program?")?;
    let outcome = judged(tree, &x, exercise)?;
    let id = &exercise.id;
    match &outcome {
        Outcome::Done(_) => progress::change(tree, id, |mark| mark.done = true).map(drop)?,
        Outcome::Not(Verdict::NotDone(_)) => progress::saw(tree, id, "not-done").map(drop)?,
        Outcome::Not(Verdict::Wrong { hint, .. }) => progress::saw(tree, id, hint).map(drop)?,
        _ => {}
    }
    if let Outcome::NotBuilt(said) | Outcome::Manifest(said) = &outcome {
        eprintln!("{}", said.trim_end());
    }
    print!("{}", say::outcome(exercise, &outcome, &next(tree, exercise)?));
    Ok(matches!(outcome, Outcome::Done(_)))
}

/// What comes after this exercise.
fn next(tree: &Path, done: &Exercise) -> Result<String> {
    let marks = progress::all(tree);
    let open = |id: &str| !marks.iter().any(|mark| mark.id == id && mark.done) && id != done.id;
    let mut all = exercise::all(tree)?;
    all.retain(|exercise| exercise.chapter == done.chapter && open(&exercise.id));
    let after = all.iter().find(|exercise| exercise.id > done.id).or(all.first());
    Ok(match after {
        Some(Exercise { id, title, minutes, .. }) => {
            format!("{id} {title}, {minutes} minutes: cargo x start {id}")
        }
        None => format!("all exercises of chapter {} are done: on with the book.", done.number()),
    })
}
