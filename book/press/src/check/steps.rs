//! Steps: what the code does one after the other, and the section that tells of each.

use std::collections::BTreeMap;

use crate::expand::Course;
use crate::manual;
use crate::pieces::{Kind, pieces};
use crate::tree::{Page, files, read, shown};

/// What the section of each step has, beside a man page.
const PARTS: [&str; 3] = ["**Why here.**", "**See it yourself.**", "**What goes wrong.**"];

/// The names of the steps in a source: the first argument of each `step!`.
pub fn steps(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    let code = |line: &str| if line.trim_start().starts_with("//") { "" } else { line }.to_owned();
    let text = text.lines().map(code).collect::<Vec<_>>().join("\n");
    for (at, call) in text.match_indices("step!(") {
        let name = text[at + call.len()..].trim_start().strip_prefix('"');
        let line = text[..at].matches('\n').count() + 1;
        all.extend(name.and_then(|n| n.split('"').next()).map(|name| (line, name.to_owned())));
    }
    all
}

/// A page's headings of the second and third level: line, title, and the text below each.
fn sections_of(page: &Page) -> Vec<(usize, String, String)> {
    let mut all: Vec<(usize, String, String)> = Vec::new();
    for piece in pieces(&page.text) {
        for (number, line) in piece.lines.iter().enumerate() {
            let title = line.strip_prefix("## ").or_else(|| line.strip_prefix("### "));
            match title.filter(|_| matches!(piece.kind, Kind::Prose)) {
                Some(title) => {
                    let title = title.trim().replace('`', "");
                    all.push((piece.line + number, title, String::new()));
                }
                None => all.iter_mut().last().into_iter().for_each(|(_, _, text)| {
                    *text += line;
                    text.push('\n');
                }),
            }
        }
    }
    all
}

/// Where a step stands, and the sections that bear its name: their places and texts.
type Told = (String, Vec<(String, String)>);

/// The steps by crate and name.
fn told(course: &Course) -> BTreeMap<(String, String), Told> {
    let tree = &course.tree;
    let mut all = BTreeMap::new();
    for folder in tree.crates() {
        let sections: Vec<_> = tree
            .pages_of(&folder)
            .flat_map(|page| {
                let sections = sections_of(page).into_iter();
                sections.map(|(line, title, text)| (page.wrong(line, ""), title, text))
            })
            .collect();
        for file in files(&tree.top.join(&folder).join("src"), ".rs") {
            for (line, step) in steps(&read(&file)) {
                let own = sections.iter().filter(|(_, title, _)| *title == step);
                let own = own.map(|(place, _, text)| (place.clone(), text.clone())).collect();
                let place = format!("{}:{line}", shown(&tree.top, &file));
                all.entry((folder.clone(), step)).or_insert((place, own));
            }
        }
    }
    all
}

/// Every step is a heading of its chapter.
pub fn headings(course: &Course) -> Vec<String> {
    let all = told(course).into_iter();
    all.filter(|(_, (_, sections))| sections.is_empty())
        .map(|((folder, step), (place, _))| format!("{place}: {folder} has no heading {step:?}"))
        .collect()
}

/// One section of a step cites the manual, says why here, how to see it, what goes wrong.
pub fn sections(course: &Course) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((_, step), (_, sections)) in told(course) {
        let lacks = |text: &str| {
            let manual = text.contains("man7.org") || !manual::mentions(text).is_empty();
            let parts = PARTS.into_iter().filter(|part| !text.contains(part));
            let parts = parts.chain((!manual).then_some("a man page"));
            parts.map(str::to_owned).collect::<Vec<_>>()
        };
        let best = sections.iter().map(|(place, text)| (lacks(text), place));
        if let Some((lacks, place)) = best.min_by_key(|(lacks, _)| lacks.len()) {
            wrong.extend(lacks.iter().map(|part| format!("{place}{step} lacks {part}")));
        }
    }
    wrong
}
