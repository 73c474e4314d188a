//! The table of contents.

use crate::expand::Course;

/// The targets of the links in the summary, with their lines.
fn links(summary: &str) -> Vec<(usize, &str)> {
    let lines = summary.lines().enumerate();
    lines
        .flat_map(|(number, line)| {
            let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            targets.map(move |target| (number + 1, target))
        })
        .collect()
}

/// Every page is in the summary.
pub fn pages(course: &Course) -> Vec<String> {
    let listed = links(&course.tree.summary);
    let missing = course
        .tree
        .pages
        .iter()
        .filter(|page| !listed.iter().any(|(_, target)| *target == page.path));
    missing.map(|page| page.wrong(1, "it is not in the summary")).collect()
}

/// What the summary lists is there.
pub fn targets(course: &Course) -> Vec<String> {
    let listed = links(&course.tree.summary);
    if listed.is_empty() {
        return vec!["book/src/SUMMARY.md:1: it lists nothing".to_owned()];
    }
    // `[to come]()` is a page that is not there yet.
    let dead = listed.iter().filter(|(_, t)| !t.is_empty() && course.tree.page(t).is_none());
    dead.map(|(line, target)| format!("book/src/SUMMARY.md:{line}: {target} leads nowhere"))
        .collect()
}
