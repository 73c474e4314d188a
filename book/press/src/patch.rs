//! Patches that take one thing out of a chapter.

use crate::anchors::mark;
use crate::html::escape;

/// The file of a chapter's patch.
pub fn file(folder: &str, name: &str) -> String {
    format!("{folder}/without/{name}.patch")
}

/// The most changed lines.
const LONGEST: usize = 15;

/// As it stands on a page: what is taken out, the lines, how to see it.
pub fn render(text: &str, name: &str) -> Result<String, String> {
    let start = text.find("\n--- ").ok_or(format!("{name} has no diff"))? + 1;
    let (head, diff) = text.split_at(start);
    let what = head.lines().find_map(|line| line.strip_prefix("What: "));
    let what = what.ok_or(format!("{name} has no `What: …`"))?;
    let body: Vec<&str> = diff.lines().filter(|line| !is_aside(line)).collect();
    let changed = body.iter().filter(|line| line.starts_with(['+', '-'])).count();
    if changed > LONGEST {
        return Err(format!("{name} changes {changed} lines, more than {LONGEST}"));
    }
    Ok(format!(
        "<div class=\"excerpt without\">\n<p class=\"caption\">Without {}</p>\n\n\
         ```diff\n{}\n```\n\n<p class=\"run\">See what breaks: \
         <code>cargo x without {name}</code></p>\n\n</div>",
        escape(what),
        body.join("\n"),
    ))
}

/// The lines that name the files, and marks for the book.
fn is_aside(line: &str) -> bool {
    ["--- ", "+++ ", "diff ", "index "].iter().any(|start| line.starts_with(start))
        || line.get(1..).is_some_and(|source| mark(source).is_some())
}
