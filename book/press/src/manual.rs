//! Man pages: `clone(2)` becomes a link to man7.org.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::OnceLock;

/// The pages that are known, `clone.2` a line: a typo is then an error.
const KNOWN: &str = include_str!("man-pages.txt");

fn known() -> &'static BTreeSet<&'static str> {
    static SET: OnceLock<BTreeSet<&str>> = OnceLock::new();
    SET.get_or_init(|| KNOWN.lines().collect())
}

/// Where `clone(2)` is to be read. `Err` says that there is no such page.
pub fn address(name: &str, section: &str) -> Result<String, String> {
    if !known().contains(&*format!("{name}.{section}")) {
        return Err(format!("no man page {name}({section}) in book/press/src/man-pages.txt"));
    }
    Ok(format!("https://man7.org/linux/man-pages/man{section}/{name}.{section}.html"))
}

/// The man pages that a text names: where, the name, the section.
pub fn mentions(text: &str) -> Vec<(Range<usize>, &str, &str)> {
    let mut found = Vec::new();
    for (open, _) in text.match_indices('(') {
        let section = text.get(open + 1..open + 2).unwrap_or("");
        let closed = text.get(open + 2..open + 3) == Some(")");
        if !closed || !("1"..="8").contains(&section) {
            continue;
        }
        let start = text[..open]
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || "_.-+".contains(c)))
            .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
        if start < open {
            found.push((start..open + 3, &text[start..open], section));
        }
    }
    found
}
