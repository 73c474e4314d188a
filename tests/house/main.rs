//! The house itself: what the sources look like from outside. (The book: `tests/book`.)
//!
//! Each checker is a function over a source tree that returns what is wrong, a line
//! each. `bad` shows of each that it finds what it is there for.

mod bad;
mod rust;
mod shape;

use std::fs;
use std::path::{Path, PathBuf};

use dockster_tests::{Failed, Trial, run, source_dir, trial};

/// Looks at a source tree; what is wrong with it.
type Checker = fn(&Path) -> Vec<String>;

const CHECKERS: [(&str, Checker); 5] = [
    ("the_top_is_as_it_should_be", shape::top),
    ("roads_only_lead_down", shape::roads),
    ("nobody_imports_the_top_floors", shape::imports_of_the_top),
    ("taught_files_are_short", shape::taught),
    ("unsafe_lives_in_sys", rust::unsafe_in_sys),
];

fn main() {
    let on_the_house = CHECKERS
        .iter()
        .map(|&(name, checker)| trial(name, &[], move || found_nothing(&checker(source_dir()))));
    let trials: Vec<Trial> = on_the_house.chain(bad::trials()).collect();
    run(trials)
}

fn found_nothing(wrong: &[String]) -> Result<(), Failed> {
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// All files below `dir` whose names end like this, in order.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in entries(dir) {
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found
}

/// What lies in `dir`, in order.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The crates of the house: chapters and final, those that are there.
fn crates(tree: &Path) -> Vec<PathBuf> {
    entries(&tree.join("chapters")).into_iter().chain([tree.join("final")]).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A path as it reads in a sentence: from the top of the tree on.
fn shown(tree: &Path, path: &Path) -> String {
    path.strip_prefix(tree).unwrap_or(path).display().to_string()
}
