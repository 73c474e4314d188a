//! How much a page and a chapter may ask of a reader.

use std::collections::BTreeSet;

use crate::expand::{Course, Expanded};
use crate::prose::words;
use crate::tree::Page;

use super::sources;

/// Words of prose on a page, and minutes.
const PAGE: (usize, u32) = (1500, 25);
/// Words on all core pages of a chapter.
const CORE: usize = 5000;
/// The middle length of a chapter's excerpts.
const MEDIAN: usize = 8;
/// Lines of taught files that a chapter shows.
const SHOWN: usize = 350;
/// One transcript of this many may be skipped.
const SKIPPED: usize = 20;

/// Pages with their expansion.
pub fn both(course: &Course) -> impl Iterator<Item = (&Page, &Expanded)> {
    course.tree.pages.iter().filter_map(|page| Some((page, course.pages.get(&page.path)?)))
}

/// The chapters that have pages, in order.
pub fn chapters(course: &Course) -> BTreeSet<&str> {
    let pages = course.tree.pages.iter();
    pages.filter(|page| page.folder().is_some()).map(Page::chapter).collect()
}

/// The pages of a chapter with their expansions.
pub fn of<'a>(course: &'a Course, chapter: &str) -> Vec<(&'a Page, &'a Expanded)> {
    both(course).filter(|(page, _)| page.chapter() == chapter).collect()
}

/// No page is too long.
pub fn pages(course: &Course) -> Vec<String> {
    let mut wrong = Vec::new();
    for (page, expanded) in both(course) {
        let Some(lane) = expanded.lane.as_ref().filter(|lane| !lane.is_free()) else { continue };
        let words = words(&page.text);
        if words > PAGE.0 {
            wrong.push(page.wrong(3, format!("{words} words, more than {}", PAGE.0)));
        }
        if let Some(minutes) = lane.minutes.filter(|minutes| *minutes > PAGE.1) {
            wrong.push(page.wrong(3, format!("{minutes} minutes, more than {}", PAGE.1)));
        }
    }
    wrong
}

/// How many words the core pages of a chapter have.
pub fn core_words(course: &Course, chapter: &str) -> usize {
    let pages = of(course, chapter).into_iter();
    let core = pages.filter(|(_, made)| made.lane.as_ref().is_some_and(|lane| lane.name == "core"));
    core.map(|(page, _)| words(&page.text)).sum()
}

/// No chapter's core is too long.
pub fn cores(course: &Course) -> Vec<String> {
    let words = chapters(course).into_iter().map(|name| (name, core_words(course, name)));
    words
        .filter(|(_, words)| *words > CORE)
        .map(|(name, words)| format!("book/src/{name}:1: {words} words of core, more than {CORE}"))
        .collect()
}

/// The middle length of a chapter's excerpts, and how many there are.
pub fn median(course: &Course, chapter: &str) -> (usize, usize) {
    let excerpts = of(course, chapter).into_iter().flat_map(|(_, made)| &made.excerpts);
    let mut lengths: Vec<usize> = excerpts.map(|(_, _, excerpt)| excerpt.lines.len()).collect();
    lengths.sort_unstable();
    // Of an even number, the greater of the two in the middle.
    (lengths.get(lengths.len() / 2).copied().unwrap_or(0), lengths.len())
}

/// A chapter's excerpts are short. Chapters of a single page are not in this form yet.
pub fn medians(course: &Course) -> Vec<String> {
    let all = chapters(course).into_iter().filter(|name| is_whole(course, name));
    all.map(|name| (name, median(course, name).0))
        .filter(|(_, median)| *median > MEDIAN)
        .map(|(name, median)| {
            format!("book/src/{name}:1: half of its excerpts have {median} lines or more; {MEDIAN} may be")
        })
        .collect()
}

/// Whether a chapter has a folder of pages.
pub fn is_whole(course: &Course, chapter: &str) -> bool {
    course.tree.page(&format!("{chapter}.md")).is_none()
}

/// How many lines of its taught files a chapter shows.
pub fn shown_lines(course: &Course, chapter: &str) -> usize {
    let taught = sources::taught(&course.tree, chapter);
    let excerpts = of(course, chapter).into_iter().flat_map(|(_, made)| &made.excerpts);
    let excerpts = excerpts.filter(|(file, _, _)| taught.contains(file));
    let lines = excerpts.flat_map(|(file, _, e)| (e.first..=e.last).map(move |l| (file, l)));
    lines.collect::<BTreeSet<_>>().len()
}

/// A chapter does not show all that it has.
pub fn shown(course: &Course) -> Vec<String> {
    let lines = chapters(course).into_iter().map(|name| (name, shown_lines(course, name)));
    lines
        .filter(|(_, lines)| *lines > SHOWN)
        .map(|(name, lines)| {
            format!("book/src/{name}:1: {lines} lines of its taught files shown, more than {SHOWN}")
        })
        .collect()
}

/// Of all transcripts, very few are not run.
pub fn skipped(course: &Course) -> Vec<String> {
    let counts = course.pages.values().map(|page| page.transcripts);
    let (all, skipped) = counts.fold((0, 0), |sum, page| (sum.0 + page.0, sum.1 + page.1));
    match skipped * SKIPPED > all {
        true => vec![format!("book/src:1: {skipped} of {all} transcripts are skipped")],
        false => Vec::new(),
    }
}
