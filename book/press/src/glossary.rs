//! The glossary: a list of definitions.
//!
//! ```text
//! namespace, namespaces
//! : What a process sees …
//! ```

use std::collections::BTreeMap;

/// What `glossary.md` explains.
#[derive(Debug, Default)]
pub struct Glossary {
    /// Each form of a term, with the anchor of its entry.
    forms: BTreeMap<String, String>,
    /// The entries: the line, the first form.
    pub entries: Vec<(usize, String)>,
    /// What is wrong with it: the line and what.
    pub wrong: Vec<(usize, String)>,
}

impl Glossary {
    /// Reads the page.
    pub fn new(text: &str) -> Glossary {
        let mut glossary = Glossary::default();
        for (line, entry) in entries(text) {
            let forms: Vec<&str> = entry.split(',').map(str::trim).collect();
            glossary.entries.push((line, forms[0].to_owned()));
            for form in &forms {
                let before = glossary.forms.insert((*form).to_owned(), anchor(forms[0]));
                if before.is_some() {
                    glossary.wrong.push((line, format!("{form:?} has two entries")));
                }
            }
        }
        let order = |term: &str| {
            term.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<String>()
        };
        for pair in glossary.entries.windows(2) {
            if order(&pair[0].1) > order(&pair[1].1) {
                let what = format!("{:?} stands behind {:?}", pair[1].1, pair[0].1);
                glossary.wrong.push((pair[1].0, what));
            }
        }
        glossary
    }

    /// The anchor of a term's entry, whichever form it has.
    pub fn anchor(&self, term: &str) -> Option<&str> {
        let small = term.to_lowercase();
        let exact = self.forms.get(term);
        let found = exact.or_else(|| {
            self.forms.iter().find(|(form, _)| form.to_lowercase() == small).map(|(_, a)| a)
        });
        found.map(String::as_str)
    }
}

/// The lines that name an entry: each stands above a line that begins with `: `.
fn entries(text: &str) -> Vec<(usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.windows(2).enumerate();
    pairs
        .filter(|(_, pair)| pair[1].starts_with(": ") && !pair[0].trim().is_empty())
        .map(|(number, pair)| (number + 1, pair[0].trim()))
        .collect()
}

/// The page with only the first form of each term.
pub fn first_forms(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    for (number, entry) in entries(text) {
        lines[number - 1] = entry.split(',').next().unwrap_or(entry);
    }
    lines.join("\n") + "\n"
}

/// The id that mdBook gives to a heading or to a term.
pub fn anchor(title: &str) -> String {
    let kept = title.trim().to_lowercase();
    let kept =
        kept.chars().filter(|c| c.is_alphanumeric() || c.is_whitespace() || "-_".contains(*c));
    kept.map(|c| if c.is_whitespace() { '-' } else { c }).collect()
}
