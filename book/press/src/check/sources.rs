//! Sources and the pages that tell of them.

use std::collections::BTreeSet;

use crate::anchors;
use crate::expand::Course;
use crate::prose::code_spans;
use crate::tree::{Tree, files, shown};

use super::limits::{chapters, is_whole};

/// All Rust of the house, from the top on, with its text.
fn rust(tree: &Tree, below: &str) -> Vec<(String, String)> {
    let crates = tree.crates().into_iter();
    let files = crates.flat_map(|dir| files(&tree.top.join(dir).join(below), ".rs"));
    files
        .map(|file| shown(&tree.top, &file))
        .map(|f| (f.clone(), tree.text(&f).unwrap_or_default()))
        .collect()
}

/// Every anchor begins once and ends once.
pub fn balanced(course: &Course) -> Vec<String> {
    let all = rust(&course.tree, "").into_iter();
    all.flat_map(|(file, text)| {
        let wrong = anchors::unbalanced(&text).into_iter();
        wrong.map(move |(line, what)| format!("{file}:{line}: {what}")).collect::<Vec<_>>()
    })
    .collect()
}

/// Every anchor is shown on some page.
pub fn used(course: &Course) -> Vec<String> {
    let excerpts = course.pages.values().flat_map(|page| &page.excerpts);
    let used: BTreeSet<_> = excerpts.map(|(file, name, _)| (&**file, &**name)).collect();
    let mut wrong = Vec::new();
    for (file, text) in rust(&course.tree, "src") {
        for (line, name) in anchors::names(&text) {
            if !used.contains(&(&*file, name)) {
                wrong.push(format!("{file}:{line}: no page shows the anchor {name}"));
            }
        }
    }
    wrong
}

/// The files that a chapter teaches: all but its program, what is unsafe, the list of
/// modules, and what is headed `Catalogue:`.
pub fn taught(tree: &Tree, chapter: &str) -> BTreeSet<String> {
    let src = tree.top.join("chapters").join(chapter).join("src");
    let all = files(&src, ".rs").into_iter().map(|file| shown(&tree.top, &file));
    all.filter(|file| {
        let text = tree.text(file).unwrap_or_default();
        let name = file.rsplit('/').next().unwrap_or("");
        let contents = name == "lib.rs" && !text.lines().any(|line| function(line).is_some());
        !contents && !["main.rs", "sys.rs"].contains(&name) && !text.starts_with("//! Catalogue:")
    })
    .collect()
}

/// The name of the function that a line begins, public or not.
fn function(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if line.starts_with("//") {
        return None;
    }
    let (before, name) = line.split_once("fn ")?;
    let words = ["", "pub", "const", "unsafe", "async", "extern", "pub(crate)", "pub(super)"];
    let plain = before.split_whitespace().all(|word| words.contains(&word) || word == "\"C\"");
    let end = name.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
    plain.then_some(&name[..end])
}

/// A chapter in whole form names every public function of its taught files, in backticks.
pub fn named(course: &Course) -> Vec<String> {
    let mut wrong = Vec::new();
    for chapter in chapters(course).into_iter().filter(|chapter| is_whole(course, chapter)) {
        let pages = course.tree.pages.iter().filter(|page| page.chapter() == chapter);
        let spans = pages.flat_map(|page| code_spans(&page.text));
        let words: BTreeSet<String> = spans
            .flat_map(|code| {
                let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_'));
                words.map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        for file in taught(&course.tree, chapter) {
            for (number, line) in course.tree.text(&file).unwrap_or_default().lines().enumerate() {
                let public = line.trim_start().starts_with("pub ");
                if let Some(name) = function(line).filter(|name| public && !words.contains(*name)) {
                    let line = number + 1;
                    wrong.push(format!("{file}:{line}: no page of {chapter} names `{name}`"));
                }
            }
        }
    }
    wrong
}
