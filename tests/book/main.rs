//! The book: what is true of its pages, and how it looks in a real browser.
//!
//! `bad` shows of each checker that it finds what it is there for.

mod bad;
mod browser;
mod chromium;
mod figures;
mod serving;

use dockster_tests::{Failed, Trial, run, source_dir, trial};
use press::check::CHECKERS;
use press::expand::Course;

fn main() {
    let on_the_book = CHECKERS.into_iter().map(|(name, check)| {
        trial(name, &[], move || found_nothing(&check(&Course::load(source_dir()))))
    });
    let trials: Vec<Trial> = on_the_book
        .chain(bad::trials())
        .chain(figures::trials())
        .chain(serving::trials())
        .chain(browser::trials())
        .collect();
    run(trials)
}

fn found_nothing(wrong: &[String]) -> Result<(), Failed> {
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}
