//! `--format`: the part of Go's templates that people use, over a JSON value.
//!
//! Text, `{{.Field.Field}}`, `{{json .Field}}`, `{{index .Field "key"}}`, `{{len .Field}}`,
//! `{{upper …}}`, `{{lower …}}`, `{{println …}}` and `{{join .Field ","}}`. What is not
//! here is refused by name.

use anyhow::{Result, bail};
use serde_json::Value;

/// A template that was read.
pub struct Format(Vec<Part>);

enum Part {
    Text(String),
    Action(Vec<String>),
}

impl Format {
    /// Reads a template. `\t` and `\n` are what they are in docker's.
    pub fn parse(template: &str) -> Result<Self> {
        let (mut parts, mut rest) = (Vec::new(), template);
        while let Some((text, after)) = rest.split_once("{{") {
            let Some((action, after)) = after.split_once("}}") else {
                bail!("template parsing error: unclosed action in {template:?}");
            };
            let (mut text, mut after) = (text, after);
            let mut action = action;
            if let Some(trimmed) = action.strip_prefix("- ") {
                (action, text) = (trimmed, text.trim_end());
            }
            if let Some(trimmed) = action.strip_suffix(" -") {
                (action, after) = (trimmed, after.trim_start());
            }
            parts.push(Part::Text(plain(text)));
            parts.push(Part::Action(words(action)?));
            rest = after;
        }
        parts.push(Part::Text(plain(rest)));
        Ok(Self(parts))
    }

    /// What it makes of a value.
    pub fn apply(&self, value: &Value) -> Result<String> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text += plain,
                Part::Action(words) => text += &action(words, value)?,
            }
        }
        Ok(text)
    }
}

fn plain(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

/// Words, and strings in quotes, which keep one quote at their beginning.
fn words(action: &str) -> Result<Vec<String>> {
    let (mut words, mut rest) = (Vec::new(), action.trim());
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let Some((word, after)) = quoted.split_once('"') else {
                bail!("template parsing error: unterminated quoted string");
            };
            words.push(format!("\"{word}"));
            rest = after.trim_start();
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
            rest = rest[end..].trim_start();
        }
    }
    Ok(words)
}

fn action(words: &[String], value: &Value) -> Result<String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [field] if field.starts_with('.') => Ok(show(&look(value, field)?)),
        [text] if text.starts_with('"') => Ok(text[1..].to_owned()),
        ["json", field] => Ok(look(value, field)?.to_string()),
        ["println", field] => Ok(show(&look(value, field)?) + "\n"),
        ["println"] => Ok("\n".to_owned()),
        ["upper", field] => Ok(show(&look(value, field)?).to_uppercase()),
        ["lower", field] => Ok(show(&look(value, field)?).to_lowercase()),
        ["len", field] => Ok(match look(value, field)? {
            Value::Array(all) => all.len(),
            Value::Object(all) => all.len(),
            Value::String(text) => text.len(),
            _ => bail!("template: len of {field}, which has none"),
        }
        .to_string()),
        ["join", field, by] if by.starts_with('"') => match look(value, field)? {
            Value::Array(all) => Ok(all.iter().map(show).collect::<Vec<_>>().join(&by[1..])),
            other => Ok(show(&other)),
        },
        ["index", field, ref keys @ ..] => {
            let mut found = look(value, field)?;
            for key in keys {
                found = match (key.strip_prefix('"'), key.parse::<usize>()) {
                    (Some(key), _) => found.get(key).cloned(),
                    (None, Ok(number)) => found.get(number).cloned(),
                    _ => bail!("template: {key} is no index"),
                }
                .unwrap_or(Value::String(String::new()));
            }
            Ok(show(&found))
        }
        _ => bail!("template parsing error: {{{{{}}}}} is not supported", words.join(" ")),
    }
}

fn look(value: &Value, path: &str) -> Result<Value> {
    let Some(path) = path.strip_prefix('.') else {
        bail!("template parsing error: function {path:?} is not supported");
    };
    let mut found = value;
    for name in path.split('.').filter(|name| !name.is_empty()) {
        match found.get(name) {
            Some(value) => found = value,
            // A map's missing key is nothing, as in Go; a missing field is an error.
            None if found.is_null() || is_map(found) => return Ok(Value::String(String::new())),
            None => bail!("template: can't evaluate field {name} in {path:?}"),
        }
    }
    Ok(found.clone())
}

/// Labels and the like, whose keys are anybody's.
fn is_map(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|object| object.keys().all(|key| !key.starts_with(char::is_uppercase)))
}

/// As Go prints it.
fn show(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) => format!("[{}]", all.iter().map(show).collect::<Vec<_>>().join(" ")),
        Value::Object(all) => {
            let pairs = all.iter().map(|(key, value)| format!("{key}:{}", show(value)));
            format!("map[{}]", pairs.collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}
