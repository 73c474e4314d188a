//! What may differ from the page: which parts of a line belong to which class.

use std::ops::Range;
use std::sync::LazyLock;

use anyhow::{Result, bail};
use regex_lite::Regex;

/// A class of what may differ: a word of `differs=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Differs {
    /// Clock times, dates, numbers with a point or a unit of time.
    Times,
    /// Container ids: twelve hexadecimal digits or more.
    Ids,
    /// Inode numbers: `[4026531835]`.
    Inodes,
    /// Paths that begin with `/`.
    Paths,
    /// Numbers, with or without a unit.
    Sizes,
    /// Whole numbers.
    Pids,
    /// How many lines of one shape there are.
    Lines,
}

/// In the order in which they are looked for.
const ALL: [(Differs, &str); 7] = [
    (Differs::Times, "times"),
    (Differs::Ids, "ids"),
    (Differs::Inodes, "inodes"),
    (Differs::Paths, "paths"),
    (Differs::Sizes, "sizes"),
    (Differs::Pids, "pids"),
    (Differs::Lines, "lines"),
];

impl Differs {
    /// The class of this name.
    pub fn named(word: &str) -> Result<Differs> {
        match ALL.iter().find(|(_, name)| *name == word) {
            Some((class, _)) => Ok(*class),
            None => {
                let names: Vec<&str> = ALL.iter().map(|(_, name)| *name).collect();
                bail!("differs={word} is unknown: there are {}", names.join(", "))
            }
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        ALL.iter().find(|(class, _)| *class == self).expect("all are there").1
    }
}

struct Patterns {
    times: Regex,
    ids: Regex,
    inodes: Regex,
    paths: Regex,
    sizes: Regex,
    pids: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let pattern = |text: &str| Regex::new(text).expect("a pattern of ours");
    Patterns {
        times: pattern(
            r"(?x)
            \b\d{4}-\d\d-\d\d\b
            | \b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\x20+)?
              (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\x20+\d{1,2}(?:\x20+\d{4})?\b
            | \b\d+m\d+\.\d+s\b
            | \b(?:\d+-)?\d+:\d\d(?::\d\d)?(?:\.\d+)?\b
            | \b\d+\.\d+(?:\x20?(?:ns|µs|us|ms|s|min|h)\b)?
            | \b\d+\x20?(?:ns|µs|us|ms|s|sec|min|h|seconds?|minutes?)\b",
        ),
        ids: pattern(r"\b[0-9a-f]{12,64}\b"),
        inodes: pattern(r"\[\d{5,}\]|\b402653\d{4}\b"),
        paths: pattern(r#"/[^\s'":;,()\[\]]*"#),
        sizes: pattern(r"\d+(?:\.\d+)?(?: ?(?:[KMGT]i?B?|kB|k|B|bytes)\b|%)?"),
        pids: pattern(r"\d+"),
    }
});

impl Differs {
    /// Its first place in the line, at `from` or later.
    fn find(self, line: &str, from: usize) -> Option<Range<usize>> {
        let patterns = &*PATTERNS;
        let (pattern, fits): (_, fn(&str, &Range<usize>) -> bool) = match self {
            Differs::Times => (&patterns.times, |_, _| true),
            Differs::Ids => (&patterns.ids, |_, _| true),
            Differs::Inodes => (&patterns.inodes, |_, _| true),
            Differs::Paths => (&patterns.paths, begins_a_word),
            Differs::Sizes => (&patterns.sizes, is_a_number),
            Differs::Pids => (&patterns.pids, is_a_whole_number),
            Differs::Lines => return None,
        };
        let mut at = from;
        while let Some(found) = pattern.find_at(line, at) {
            if fits(line, &found.range()) {
                return Some(found.range());
            }
            at = found.end();
        }
        None
    }
}

fn neighbours(line: &str, range: &Range<usize>) -> (Option<char>, Option<char>) {
    (line[..range.start].chars().next_back(), line[range.end..].chars().next())
}

fn begins_a_word(line: &str, range: &Range<usize>) -> bool {
    let part = |c: char| c.is_alphanumeric() || "._~-/".contains(c);
    !neighbours(line, range).0.is_some_and(part)
}

fn is_a_number(line: &str, range: &Range<usize>) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    let (before, after) = neighbours(line, range);
    !before.is_some_and(letter) && !after.is_some_and(letter)
}

/// Not a part of a name (`01-clone`) or of a decimal number.
fn is_a_whole_number(line: &str, range: &Range<usize>) -> bool {
    let (before, after) = neighbours(line, range);
    let second = line[range.end..].chars().nth(1);
    let joined = |c: Option<char>| matches!(c, Some('-' | '.'));
    is_a_number(line, range)
        && !joined(before)
        && !(joined(after) && second.is_some_and(char::is_alphanumeric))
}

/// A line, and what of it may differ.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// The line with a mark in each place that may differ.
    pub(super) text: String,
    /// What stands in those places.
    pub(super) places: Vec<(Differs, Range<usize>)>,
}

impl Shape {
    pub(super) fn of(line: &str, classes: &[Differs]) -> Shape {
        let places = places(line, classes);
        let mut text = String::new();
        let mut from = 0;
        for (class, range) in &places {
            text += &line[from..range.start];
            text += &format!("\u{1}{}\u{1}", class.name());
            from = range.end;
        }
        text += &line[from..];
        Shape { text, places }
    }
}

/// Words with one space between them.
pub(super) fn single_spaces(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn places(line: &str, classes: &[Differs]) -> Vec<(Differs, Range<usize>)> {
    let allowed = || ALL.iter().map(|(class, _)| *class).filter(|c| classes.contains(c));
    let mut places = Vec::new();
    let mut from = 0;
    // The first place; of two that begin together, the class that is looked for first.
    while let Some((class, range)) =
        allowed().filter_map(|c| Some((c, c.find(line, from)?))).min_by_key(|(_, r)| r.start)
    {
        from = range.end;
        places.push((class, range));
    }
    places
}
