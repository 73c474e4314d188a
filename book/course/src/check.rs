//! The learner's own answer: built, and judged.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::cargo::cargo;
use crate::exercise::Exercise;
use crate::hole::{self, Hole};
use crate::judge::{Verdict, judge, wrong};
use crate::{mine, needs};

/// What came out of it.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It is right; this is what was seen.
    Done(String),
    /// It does not compile; what rustc says.
    NotBuilt(String),
    /// A manifest below mine/ is broken, maybe another exercise's; what cargo says.
    Manifest(String),
    /// It is judged, and not done.
    Not(Verdict),
}

/// Builds what the learner has written for this exercise, and judges it.
pub fn check(tree: &Path, x: &Path, exercise: &Exercise) -> Result<Outcome> {
    mine::prepare(tree)?;
    if exercise.is_hole() {
        return check_hole(tree, exercise);
    }
    let package = mine::package(exercise);
    let built =
        cargo(&mine::dir(tree), Some(&mine::target(tree)), &["build", "--quiet", "-p", &package])?;
    if !built.status.success() {
        return Ok(not_built(&String::from_utf8_lossy(&built.stderr)));
    }
    let program = mine::target(tree).join("debug").join(package);
    Ok(match judge(x, exercise, &program) {
        Ok(seen) => Outcome::Done(seen),
        Err(verdict) => Outcome::Not(verdict),
    })
}

fn not_built(said: &str) -> Outcome {
    let manifest =
        ["failed to parse manifest", "failed to load manifest", "current package believes"];
    match manifest.iter().any(|words| said.contains(words)) {
        true => Outcome::Manifest(said.to_owned()),
        false => Outcome::NotBuilt(said.to_owned()),
    }
}

/// A hole is judged by the chapter's own tests.
fn check_hole(tree: &Path, exercise: &Exercise) -> Result<Outcome> {
    if let Err(verdict) = needs::met(&exercise.needs) {
        return Ok(Outcome::Not(verdict));
    }
    let text = fs::read_to_string(mine::file(tree, exercise)?).unwrap_or_default();
    let body = Hole::find(&text, &exercise.id).ok().flatten().map(|hole| hole.body);
    if body.unwrap_or(text).contains("todo!(") {
        let missed = "`todo!()` is still there".into();
        return Ok(Outcome::Not(Verdict::NotDone(missed)));
    }
    Ok(match hole_tests(tree, exercise)? {
        Ok(sum) => sum.judged(exercise),
        Err(outcome) => outcome,
    })
}

/// What the chapter's tests say of the learner's copy, whatever is in the hole.
pub fn hole_tests(tree: &Path, exercise: &Exercise) -> Result<Result<Sum, Outcome>> {
    let mut sum = Sum::default();
    for filter in &exercise.tests {
        match run_tests(tree, exercise, filter)? {
            Ok(tests) => sum.add(tests),
            Err(outcome) => return Ok(Err(outcome)),
        }
    }
    Ok(Ok(sum))
}

/// Runs the tests with this in their names, on the learner's copy.
fn run_tests(tree: &Path, exercise: &Exercise, filter: &str) -> Result<Result<Sum, Outcome>> {
    let suite = hole::suite(exercise)?;
    let package = mine::package(exercise);
    let args = ["test", "--quiet", "-p", &package, "--test", &suite, "--", filter];
    let done = cargo(&mine::dir(tree), Some(&mine::target(tree)), &args)?;
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if !out.contains("test result:") {
        return Ok(Err(not_built(&err)));
    }
    Ok(Ok(Sum::read(&out)))
}

/// What the chapter's tests said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many passed.
    pub passed: usize,
    /// How many were not run, for the host lacks something.
    pub ignored: usize,
    /// The names of those that failed.
    pub failed: Vec<String>,
    /// The first lines of what the first of them said.
    pub said: String,
}

impl Sum {
    /// Reads what a suite printed.
    pub fn read(text: &str) -> Sum {
        let mut sum = Sum::default();
        let result = text.lines().find(|line| line.starts_with("test result:")).unwrap_or_default();
        let words: Vec<_> = result.split([' ', ';']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let number = pair[0].parse().unwrap_or(0);
            match pair[1] {
                "passed" => sum.passed = number,
                "ignored" => sum.ignored = number,
                _ => {}
            }
        }
        // Each failure begins with a line "---- name ----".
        let mut failures = text.split("\n---- ").skip(1).map(|part| part.split_once(" ----\n"));
        while let Some(Some((name, rest))) = failures.next() {
            sum.failed.push(name.to_owned());
            if sum.said.is_empty() {
                let lines: Vec<_> = rest.lines().filter(|line| !line.trim().is_empty()).collect();
                sum.said = lines.into_iter().take(12).collect::<Vec<_>>().join("\n");
            }
        }
        sum
    }

    fn add(&mut self, other: Sum) {
        self.passed += other.passed;
        self.ignored += other.ignored;
        self.failed.extend(other.failed);
        if self.said.is_empty() {
            self.said = other.said;
        }
    }

    fn judged(self, exercise: &Exercise) -> Outcome {
        if self.said.contains("not yet implemented") {
            return Outcome::Not(Verdict::NotDone("a `todo!()` was reached".into()));
        }
        let Sum { passed, ignored, failed, said } = self;
        if !failed.is_empty() {
            let observed = format!("{} failed.\nThe first says:\n{said}", failed.join(", "));
            let expected = format!("{} passes, as in the chapter", failed[0]);
            let package = mine::package(exercise);
            let suite = hole::suite(exercise).unwrap_or_default();
            let look = format!("cd mine; cargo test -p {package} --test {suite} -- {}", failed[0]);
            return Outcome::Not(wrong("wrong", observed, expected, look));
        }
        if passed == 0 {
            let because =
                format!("of the tests that judge it {ignored} cannot run here and none did");
            let cure = "`cargo x doctor` says what this host lacks".into();
            return Outcome::Not(Verdict::Host { because, cure });
        }
        let tests = if passed == 1 { "test" } else { "tests" };
        Outcome::Done(format!("{passed} {tests} of the chapter pass with your lines in it."))
    }
}
