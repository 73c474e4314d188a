//! Rewrites a page with what really came.

use std::fs;

use anyhow::{Context, Result};

use super::classes::Differs;
use super::compare::{Edit, flat};
use super::page::{Block, parse};
use super::play::Played;

/// The block's lines with the real output. What may differ, and only that differs, stays
/// as the page has it; so do the steps to which it did not come.
pub fn accepted(block: &Block, played: &Played) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, step) in block.steps.iter().enumerate() {
        lines.extend(step.source.iter().cloned());
        match played.steps.get(index) {
            None => lines.extend(step.output.iter().cloned()),
            Some(edits) => lines.extend(edits.iter().filter_map(|edit| match edit {
                Edit::Same(line) => Some(line.clone()),
                Edit::Extra(line) => Some(of_the_page(block, played, line)),
                Edit::Missing(_) => None,
            })),
        }
    }
    lines
}

/// With the page's own numbers, so that they fit to lines typed later.
fn of_the_page(block: &Block, played: &Played, line: &str) -> String {
    let bound = [Differs::Pids, Differs::Ids, Differs::Inodes];
    match block.differs.iter().any(|class| bound.contains(class)) {
        true => flat(&played.bindings.to_page(line)),
        false => flat(line),
    }
}

/// Writes them into the page, where the block may have moved.
pub fn write(block: &Block, lines: &[String]) -> Result<()> {
    let text = fs::read_to_string(&block.file)?;
    let blocks = parse(&block.page, &block.file, &text)?;
    let here = blocks.get(block.ordinal - 1).context("the page has changed meanwhile")?;
    let old: Vec<&str> = text.lines().collect();
    let mut new: Vec<&str> = old[..here.body.start].to_vec();
    new.extend(lines.iter().map(String::as_str));
    new.extend(&old[here.body.end..]);
    fs::write(&block.file, new.join("\n") + "\n").with_context(|| block.file.display().to_string())
}
