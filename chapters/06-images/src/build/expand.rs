//! Catalogue: not needed to understand the chapter.
//!
//! Words with variables and quotes in them, as a Dockerfile has them: `$NAME`, `${NAME}`,
//! `${NAME:-else}`, `${NAME:+instead}`, `${NAME:?message}` and these without the colon.

use std::iter::Peekable;
use std::str::Chars;

use ch01_clone::{Error, Result};

/// What a text is read with.
pub(crate) struct Reading<'a> {
    /// What takes the meaning from the next character.
    pub(crate) escape: char,
    /// What a variable is.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
}

/// Cuts a text at the spaces that are not quoted; the quotes stay.
pub(crate) fn split(text: &str, escape: char) -> Result<Vec<String>> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if matches!(c, '"' | '\'') => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
        if c == escape && quote != Some('\'') {
            word.extend(chars.next());
        }
    }
    if quote.is_some() {
        return Err(Error::new(format!("unexpected end of {text:?}: a quote is not closed")));
    }
    words.extend((!word.is_empty()).then_some(word));
    Ok(words)
}

impl Reading<'_> {
    /// The text with its variables replaced and its quotes taken off: one word.
    pub(crate) fn word(&self, text: &str) -> Result<String> {
        let mut chars = text.chars().peekable();
        let mut out = String::new();
        self.until(&mut chars, None, true, &mut out)?;
        Ok(out)
    }

    /// The same of a text in which quotes are only quotes: a here-document.
    pub(crate) fn document(&self, text: &str) -> Result<String> {
        let mut chars = text.chars().peekable();
        let mut out = String::new();
        self.until(&mut chars, None, false, &mut out)?;
        Ok(out)
    }

    /// Cut at spaces that are not quoted, then each replaced and unquoted.
    pub(crate) fn words(&self, text: &str) -> Result<Vec<String>> {
        split(text, self.escape)?.iter().map(|word| self.word(word)).collect()
    }

    fn until(
        &self,
        chars: &mut Peekable<Chars<'_>>,
        end: Option<char>,
        quotes: bool,
        out: &mut String,
    ) -> Result<()> {
        while let Some(c) = chars.next() {
            match c {
                _ if Some(c) == end => return Ok(()),
                '\'' if quotes => {
                    let mut closed = false;
                    out.extend(chars.by_ref().take_while(|&c| {
                        closed = c == '\'';
                        !closed
                    }));
                    if !closed {
                        return Err(unclosed("a single quote"));
                    }
                }
                '"' if quotes => self.double(chars, out)?,
                '$' => self.dollar(chars, out)?,
                _ if c == self.escape => match chars.next() {
                    // In a document all but these two stay as they are.
                    Some(next) if !quotes && next != '$' && next != c => out.extend([c, next]),
                    next => out.extend(next),
                },
                _ => out.push(c),
            }
        }
        match end {
            None => Ok(()),
            Some(end) => Err(unclosed(&format!("{end:?} is missing"))),
        }
    }

    /// In double quotes variables count, and three characters can be escaped.
    fn double(&self, chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<()> {
        while let Some(c) = chars.next() {
            match c {
                '"' => return Ok(()),
                '$' => self.dollar(chars, out)?,
                _ if c == self.escape => match chars.next() {
                    Some(next) if next == '"' || next == '$' || next == c => out.push(next),
                    next => out.extend([Some(c), next].into_iter().flatten()),
                },
                _ => out.push(c),
            }
        }
        Err(unclosed("a double quote"))
    }

    fn dollar(&self, chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<()> {
        match chars.peek() {
            Some('{') => {
                chars.next();
                self.braces(chars, out)
            }
            Some(c) if c.is_ascii_alphabetic() || *c == '_' => {
                let name = name(chars);
                out.push_str(&(self.variable)(&name).unwrap_or_default());
                Ok(())
            }
            _ => {
                out.push('$');
                Ok(())
            }
        }
    }

    fn braces(&self, chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<()> {
        let name = name(chars);
        if name.is_empty() {
            return Err(Error::new("bad substitution: ${ is followed by no name"));
        }
        let value = (self.variable)(&name);
        let colon = chars.next_if_eq(&':').is_some();
        let is_set = value.as_ref().is_some_and(|value| !(colon && value.is_empty()));
        let modifier = match chars.next() {
            Some('}') if !colon => {
                out.push_str(&value.unwrap_or_default());
                return Ok(());
            }
            Some(c @ ('-' | '+' | '?')) => c,
            Some(c) => {
                let text = format!("unsupported modifier ({c}) in substitution of {name}");
                return Err(Error::new(text).hint("there are :- :+ :? and - + ?"));
            }
            None => return Err(unclosed("'}' is missing")),
        };
        let mut word = String::new();
        self.until(chars, Some('}'), true, &mut word)?;
        match (modifier, is_set) {
            ('-', true) | ('?', true) => out.push_str(&value.unwrap_or_default()),
            ('-', false) | ('+', true) => out.push_str(&word),
            ('?', false) => {
                let word = if word.is_empty() { "is not allowed to be unset" } else { &*word };
                return Err(Error::new(format!("{name}: {word}")));
            }
            _ => {}
        }
        Ok(())
    }
}

fn name(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut name = String::new();
    while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
        name.push(c);
    }
    name
}

fn unclosed(what: &str) -> Error {
    Error::new(format!("unexpected end of the text: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Result<String> {
        let variable = |name: &str| match name {
            "x" => Some("one".to_owned()),
            "two" => Some("a b".to_owned()),
            "empty" => Some(String::new()),
            _ => None,
        };
        Reading { escape: '\\', variable: &variable }.word(text)
    }

    #[test]
    fn variables_and_quotes() {
        for (text, means) in [
            ("$x", "one"),
            ("${x}y", "oney"),
            ("a$x/b$none.c", "aone/b.c"),
            ("\\$x", "$x"),
            ("'$x'", "$x"),
            ("\"$x y\"", "one y"),
            ("\"a \\\"q\\\" \\n\"", "a \"q\" \\n"),
            ("a\\ b", "a b"),
            ("${none:-else}", "else"),
            ("${empty:-else}", "else"),
            ("${empty-else}", ""),
            ("${x:+instead}", "instead"),
            ("${empty:+instead}", ""),
            ("${empty+instead}", "instead"),
            ("${none:-${x}/$two}", "one/a b"),
            ("${none:-\"}\"}", "}"),
            ("${x:?gone}", "one"),
            ("100$", "100$"),
            ("$1", "$1"),
        ] {
            assert_eq!(word(text).expect(text), means, "{text}");
        }
        for bad in ["${x", "'a", "\"a", "${}", "${x/a/b}", "${none:?gone}", "${x:-a"] {
            assert!(word(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_are_cut_where_they_are_not_quoted() {
        let cut = split(r#"a="b c" 'd e' f\ g  h"#, '\\').expect("words");
        assert_eq!(cut, [r#"a="b c""#, "'d e'", "f\\ g", "h"]);
        assert!(split("a 'b", '\\').is_err());
    }
}
