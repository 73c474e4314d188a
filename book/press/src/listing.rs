//! Sources as pages with numbered lines, for the links below excerpts.

use std::path::Path;

use anyhow::{Context, Result};

use crate::expand::Course;
use crate::html::escape;

/// The address of a source's listing, from the book's top on.
pub fn address(file: &str, line: Option<usize>) -> String {
    let line = line.map(|line| format!("#L{line}")).unwrap_or_default();
    format!("source/{file}.html{line}")
}

/// Writes the listings of all sources that pages link to.
pub fn write(course: &Course, book: &Path) -> Result<()> {
    let files = course.pages.values().flat_map(|page| &page.sources);
    for file in files.collect::<std::collections::BTreeSet<_>>() {
        let path = book.join(address(file, None));
        let text = course.tree.text(file).with_context(|| format!("reading {file}"))?;
        std::fs::create_dir_all(path.parent().unwrap_or(book))?;
        std::fs::write(&path, page(file, &text))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// One page, whole in itself: mdBook's own names of its style sheets change.
fn page(file: &str, text: &str) -> String {
    let mut lines = String::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let line = escape(line);
        lines += &format!(
            "<span id=\"L{number}\"><a href=\"#L{number}\">{number:>4}</a> {line}\n</span>"
        );
    }
    let up = "../".repeat(file.matches('/').count() + 1);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{file}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <p><a href=\"{up}index.html\">The book</a></p>\n<h1>{file}</h1>\n\
         <pre><code>{lines}</code></pre>\n</main>\n</body>\n</html>\n",
        file = escape(file),
    )
}

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font-family: sans-serif; margin: 1rem; }
h1 { font-size: 1.2rem; overflow-wrap: anywhere; }
pre { overflow-x: auto; line-height: 1.4; }
pre span { display: block; }
pre a { color: inherit; opacity: 0.6; text-decoration: none; user-select: none; }
pre span:target { background: color-mix(in srgb, Highlight 30%, transparent); }
";
