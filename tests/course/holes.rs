//! Every hole: the chapter's tests fail on `todo!()`, pass on the original lines, and
//! fail on the wrong ones beside it.

use std::fs;

use course::check::{Outcome, check, hole_tests};
use course::exercise::{self, Exercise, name};
use course::hole::{self, Hole};
use course::judge::Verdict;
use course::mine;
use dockster_tests::{Failed, Trial, source_dir};

use crate::exercises::{X, needs};
use crate::house::{House, building};

pub fn trials() -> Vec<Trial> {
    let all = exercise::all(source_dir()).unwrap_or_default();
    all.iter().filter(|exercise| exercise.is_hole()).flat_map(of).collect()
}

fn of(exercise: &Exercise) -> Vec<Trial> {
    let needs = needs(&exercise.needs);
    let id = exercise.id.clone();
    let named = |what: &str, test: fn(&str) -> Result<(), Failed>| {
        let id = id.clone();
        building(&format!("hole_{id}_{what}"), &needs, move || test(&id))
    };
    let mut trials =
        vec![named("todo_fails", todo_fails), named("original_passes", original_passes)];
    for wrong in exercise.wrong_answers() {
        let (id, what) = (exercise.id.clone(), name(&wrong));
        let name = format!("hole_{id}_{}_fails", what.trim_end_matches(".rs"));
        trials.push(building(&name, &needs, move || wrong_fails(&id, &what)));
    }
    trials
}

/// The exercise begun afresh in the house's copy.
fn begun(id: &str) -> Result<(House, Exercise), Failed> {
    let house = House::copy()?;
    let exercise = exercise::find(&house.tree, id)?;
    let _ = fs::remove_dir_all(mine::dir(&house.tree));
    mine::start(&house.tree, &exercise)?;
    Ok((house, exercise))
}

fn fill(house: &House, exercise: &Exercise, body: &str) -> Result<(), Failed> {
    let file = mine::file(&house.tree, exercise)?;
    let hole = Hole::find(&fs::read_to_string(&file)?, &exercise.id)?;
    fs::write(&file, hole.ok_or("the copy has no marks")?.filled(body))?;
    Ok(())
}

fn outcome(house: &House, exercise: &Exercise) -> Result<Outcome, Failed> {
    Ok(check(&house.tree, X.as_ref(), exercise)?)
}

fn todo_fails(id: &str) -> Result<(), Failed> {
    let (house, exercise) = begun(id)?;
    match outcome(&house, &exercise)? {
        Outcome::Not(Verdict::NotDone(_)) => {}
        other => return Err(format!("the hole as it begins: {other:?}").into()),
    }
    // That was seen in the text; the tests have to see it, too.
    match hole_tests(&house.tree, &exercise)? {
        Ok(sum) if !sum.failed.is_empty() => Ok(()),
        other => Err(format!("the tests pass with todo!() in the hole: {other:?}").into()),
    }
}

fn original_passes(id: &str) -> Result<(), Failed> {
    let (house, exercise) = begun(id)?;
    let (_, original) = hole::of(exercise.chapter_dir(), id)?;
    fill(&house, &exercise, &original.body)?;
    match outcome(&house, &exercise)? {
        Outcome::Done(_) => Ok(()),
        other => Err(format!("the original lines: {other:?}").into()),
    }
}

fn wrong_fails(id: &str, wrong: &str) -> Result<(), Failed> {
    let (house, exercise) = begun(id)?;
    fill(&house, &exercise, &fs::read_to_string(exercise.dir.join(wrong))?)?;
    match outcome(&house, &exercise)? {
        Outcome::Not(Verdict::Wrong { hint, .. }) => match exercise.hints(hint)?.len() {
            0 => Err(format!("hints.md has no section {hint}").into()),
            _ => Ok(()),
        },
        other => Err(format!("{wrong}: {other:?}").into()),
    }
}
