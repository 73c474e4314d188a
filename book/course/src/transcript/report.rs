//! How a transcript differs from the page, to be read.

use super::compare::Edit;
use super::page::Block;
use super::play::Played;
use super::step::Step;

/// What is not as on the page: `file:line`, what was typed, and a small diff for each
/// step; why it stopped; what it left behind. Empty if all is true.
pub fn report(block: &Block, played: &Played) -> String {
    let mut text = String::new();
    for (step, edits) in block.steps.iter().zip(&played.steps) {
        if edits.iter().any(|edit| !matches!(edit, Edit::Same(_))) {
            text += &format!("{}:{}: {}\n", block.file.display(), step.line, shown(step));
            text.extend(edits.iter().map(line));
        }
    }
    if let Some((line, why)) = &played.stopped {
        text += &format!("{}:{line}: {why}\n", block.file.display());
    }
    for leak in &played.leaks {
        text += &format!("{}:{}: left behind: {leak}\n", block.file.display(), block.line);
    }
    text
}

fn shown(step: &Step) -> String {
    let second = if step.terminal == 1 { "2" } else { "" };
    let lines = step.source.join(" ");
    format!("{second}{}", lines.strip_prefix(second).unwrap_or(&lines))
}

fn line(edit: &Edit) -> String {
    match edit {
        Edit::Same(line) => format!("      {line}\n"),
        Edit::Missing(line) => format!("    - {line}\n"),
        Edit::Extra(line) => format!("    + {line}\n"),
    }
}
