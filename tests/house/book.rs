//! The book: its headings, links and excerpts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{crates, files, name, read, rust, shown};

/// The pages of a book, by path.
fn pages(tree: &Path) -> Vec<(PathBuf, String)> {
    let paths = files(&tree.join("book/src"), ".md").into_iter();
    paths.map(|path| (path.clone(), read(&path))).collect()
}

/// The lines of a page, and whether each stands in a fenced block (fences included).
fn lines(text: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut inside = false;
    text.lines().map(move |line| {
        let fence = line.trim_start().starts_with("```");
        let block = inside || fence;
        inside ^= fence;
        (block, line)
    })
}

/// A page's headings of the second and third level with the text below each.
fn headings(text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut current = None;
    for (block, line) in lines(text) {
        let title = line.strip_prefix("## ").or_else(|| line.strip_prefix("### "));
        match title {
            Some(title) if !block => {
                all.insert(title.trim().to_owned(), String::new());
                current = Some(title.trim().to_owned());
            }
            _ => {
                if let Some(text) = current.as_ref().and_then(|title| all.get_mut(title)) {
                    *text += line;
                    text.push('\n');
                }
            }
        }
    }
    all
}

/// The steps of each crate, with the page that has to tell of them.
fn steps_and_pages(tree: &Path) -> Vec<(String, PathBuf, PathBuf)> {
    let mut all = Vec::new();
    for dir in crates(tree) {
        let page = tree.join("book/src").join(format!("{}.md", name(&dir)));
        for file in files(&dir.join("src"), ".rs") {
            for step in rust::steps(&read(&file)) {
                all.push((step, file.clone(), page.clone()));
            }
        }
    }
    all
}

/// Every step's name is a heading of its chapter's page.
pub fn steps(tree: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for (step, file, page) in steps_and_pages(tree) {
        if !headings(&read(&page)).contains_key(&step) {
            let (file, page) = (shown(tree, &file), shown(tree, &page));
            wrong.push(format!("{page} has no heading {step:?}, a step of {file}"));
        }
    }
    wrong
}

/// What the section of each step has.
const PARTS: [&str; 4] =
    ["man7.org", "**Why here.**", "**See it yourself.**", "**What goes wrong.**"];

/// A step's section cites the manual, says why here, how to see it, and what goes wrong.
pub fn sections(tree: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for (step, _, page) in steps_and_pages(tree) {
        let Some(text) = headings(&read(&page)).remove(&step) else { continue };
        for part in PARTS.iter().filter(|part| !text.contains(*part)) {
            wrong.push(format!("{}: {step} lacks {part:?}", shown(tree, &page)));
        }
    }
    wrong.dedup();
    wrong
}

/// The targets of `[text](target)`, outside fenced blocks.
fn targets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (block, line) in lines(text) {
        if block {
            continue;
        }
        for rest in line.split("](").skip(1) {
            found.extend(rest.split(')').next().map(str::to_owned));
        }
    }
    found
}

/// As mdBook makes it of a heading: `## id-map` is `#id-map`.
fn anchor(title: &str) -> String {
    let title = title.trim().to_lowercase().replace('`', "");
    let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> Vec<String> {
    let titles = lines(text).filter(|(block, line)| !block && line.starts_with('#'));
    titles.map(|(_, line)| anchor(line.trim_start_matches('#'))).collect()
}

/// Every relative link leads to a file and a heading, every page is in the summary, and
/// all that the summary lists is there.
pub fn links(tree: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    let pages = pages(tree);
    let summary = tree.join("book/src/SUMMARY.md");
    let listed = targets(&read(&summary));
    for (page, text) in &pages {
        let here = shown(tree, page);
        if *page != summary && !listed.iter().any(|l| tree.join("book/src").join(l) == *page) {
            wrong.push(format!("{here} is not in the summary"));
        }
        for target in targets(text) {
            if target.contains("://") {
                continue;
            }
            let (path, heading) = target.split_once('#').unwrap_or((&target, ""));
            let file = match path {
                "" => page.clone(),
                path => page.parent().unwrap_or(tree).join(path),
            };
            if !file.exists() {
                wrong.push(format!("{here}: {target} leads nowhere"));
            } else if !heading.is_empty() && !anchors(&read(&file)).iter().any(|a| a == heading) {
                wrong.push(format!("{here}: {target} is no heading there"));
            }
        }
    }
    if pages.is_empty() || listed.is_empty() {
        wrong.push("the book has no summary, or an empty one".to_owned());
    }
    wrong
}

/// Rust is never typed by hand: a block of it is one include, of an anchor that is there.
pub fn included(tree: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for (page, text) in pages(tree) {
        let here = shown(tree, &page);
        let mut language = None;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            match (line.strip_prefix("```"), language) {
                (Some(info), None) => language = Some(info.split([',', ' ']).next().unwrap_or("")),
                (Some(_), Some(_)) => language = None,
                (None, language) => {
                    let include =
                        line.strip_prefix("{{#include ").and_then(|l| l.strip_suffix("}}"));
                    match include {
                        Some(target) => wrong.extend(
                            excerpt(&page, target).err().map(|why| format!("{here}: {why}")),
                        ),
                        None if language == Some("rust") => {
                            wrong.push(format!("{here}:{}: Rust typed by hand", number + 1));
                        }
                        None => {}
                    }
                }
            }
        }
        if language.is_some() {
            wrong.push(format!("{here}: a block has no end"));
        }
    }
    wrong
}

/// Whether `path:anchor` can be included on this page.
fn excerpt(page: &Path, target: &str) -> Result<(), String> {
    let (path, anchor) = target.trim().split_once(':').ok_or(format!("{target} has no anchor"))?;
    let text = read(&page.parent().unwrap_or(page).join(path));
    let has = |mark: String| {
        let end = |line: &str| line.trim().strip_suffix(&*mark).is_some();
        text.lines().any(end)
    };
    match has(format!(" ANCHOR: {anchor}")) && has(format!(" ANCHOR_END: {anchor}")) {
        true => Ok(()),
        false => Err(format!("there is no {target}")),
    }
}
