//! What is true of the whole book. Each checker says what is wrong, a line each.

pub mod built;
mod limits;
mod sources;
mod steps;
mod summary;
mod uses;

use crate::expand::Course;

/// Looks at a book; what is wrong with it.
pub type Checker = fn(&Course) -> Vec<String>;

/// All of them, by name.
pub const CHECKERS: [(&str, Checker); 14] = [
    ("pages_are_right_in_themselves", Course::wrong),
    ("every_page_is_in_the_summary", summary::pages),
    ("the_summary_leads_somewhere", summary::targets),
    ("pages_are_short", limits::pages),
    ("the_core_of_a_chapter_is_an_evening", limits::cores),
    ("excerpts_are_short", limits::medians),
    ("nearly_all_transcripts_are_run", limits::skipped),
    ("few_taught_lines_are_shown", limits::shown),
    ("anchors_are_balanced", sources::balanced),
    ("every_anchor_is_shown", sources::used),
    ("every_public_function_is_named", sources::named),
    ("all_that_is_made_for_pages_is_shown", uses::shown),
    ("every_step_is_a_heading", steps::headings),
    ("every_section_of_a_step_is_whole", steps::sections),
];

/// What all of them say.
pub fn all(course: &Course) -> Vec<String> {
    CHECKERS.iter().flat_map(|(_, check)| check(course)).collect()
}

pub use limits::chapters;

/// What a chapter asks of a reader, and what is proved of it.
#[derive(Debug)]
pub struct Numbers {
    /// Words of prose.
    pub words: usize,
    /// Words of prose on its core pages.
    pub core: usize,
    /// Minutes, as its pages say.
    pub minutes: u32,
    /// Excerpts of sources.
    pub excerpts: usize,
    /// Their middle length.
    pub median: usize,
    /// Lines of its taught files that it shows.
    pub taught: usize,
    /// Transcripts.
    pub transcripts: usize,
    /// Transcripts that are not run.
    pub skipped: usize,
}

/// Counts a chapter.
pub fn chapter_numbers(course: &Course, chapter: &str) -> Numbers {
    let pages = limits::of(course, chapter);
    let (median, excerpts) = limits::median(course, chapter);
    let minutes = |page: &crate::expand::Expanded| page.lane.as_ref().and_then(|lane| lane.minutes);
    Numbers {
        words: pages.iter().map(|(page, _)| crate::prose::words(&page.text)).sum(),
        core: limits::core_words(course, chapter),
        minutes: pages.iter().filter_map(|(_, made)| minutes(made)).sum(),
        excerpts,
        median,
        taught: limits::shown_lines(course, chapter),
        transcripts: pages.iter().map(|(_, made)| made.transcripts.0).sum(),
        skipped: pages.iter().map(|(_, made)| made.transcripts.1).sum(),
    }
}
