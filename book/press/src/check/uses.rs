//! What was made to be shown.

use std::collections::BTreeSet;

use crate::expand::Course;
use crate::tree::{entries, files, shown as path_of};

/// Every exercise, rung, patch and figure stands on a page.
pub fn shown(course: &Course) -> Vec<String> {
    let shown: BTreeSet<_> = course.pages.values().flat_map(|page| &page.shows).collect();
    let tree = &course.tree;
    let mut made = files(&tree.top.join("book/src/figures"), ".svg");
    for folder in tree.crates() {
        let dir = tree.top.join(folder);
        made.extend(entries(&dir.join("exercises")).iter().map(|e| e.join("README.md")));
        made.extend(files(&dir.join("without"), ".patch"));
        let rung = |file: &std::path::PathBuf| path_of(&dir, file).starts_with("examples/rung-");
        made.extend(files(&dir.join("examples"), ".rs").into_iter().filter(rung));
    }
    let made = made.iter().map(|file| path_of(&tree.top, file));
    made.filter(|file| !shown.contains(file))
        .map(|file| format!("{file}:1: no page shows it"))
        .collect()
}
