//! `key=value` and `key="more words"`, as directives and transcripts have them.

/// The attributes of a line, in order; a word without `=` is a key without a value.
pub fn attributes(text: &str) -> Result<Vec<(String, Option<String>)>, String> {
    let mut all = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find([' ', '=']).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let (value, after) = match after.strip_prefix('=') {
            None => (None, after),
            Some(after) => value(after).map(|(value, rest)| (Some(value), rest))?,
        };
        all.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(all)
}

/// The value that `text` begins with, and what follows it.
fn value(text: &str) -> Result<(String, &str), String> {
    match text.strip_prefix('"') {
        Some(text) => {
            let (value, rest) = text.split_once('"').ok_or("a quotation mark has no end")?;
            Ok((value.to_owned(), rest))
        }
        None => {
            let (value, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
            Ok((value.to_owned(), rest))
        }
    }
}
