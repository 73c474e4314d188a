//! How long the chapters are, and how much of them is proved.

use crate::check::{chapter_numbers, chapters};
use crate::expand::Course;

/// A table, a line for each chapter.
pub fn table(course: &Course) -> String {
    let mut text = format!(
        "{:14} {:>6} {:>6} {:>7} {:>8} {:>6} {:>7} {:>8} {:>7}\n",
        "chapter", "words", "core", "minutes", "excerpts", "median", "taught", "runs", "skipped"
    );
    for chapter in chapters(course) {
        let n = chapter_numbers(course, chapter);
        text += &format!(
            "{chapter:14} {:>6} {:>6} {:>7} {:>8} {:>6} {:>7} {:>8} {:>7}\n",
            n.words, n.core, n.minutes, n.excerpts, n.median, n.taught, n.transcripts, n.skipped
        );
    }
    text += "All Rust is included from compiled sources: anything else is an error.\n";
    text
}
