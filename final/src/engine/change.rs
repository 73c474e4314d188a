//! Instructions of a Dockerfile that change what an image says of itself, and none of its
//! files: `--change` of `import` and `commit`.

use ch01_clone::{Error, Result};
use serde_json::{Map, Value, json};

use super::health::HealthCheck;
use super::signals;
use crate::shim::time::duration;

/// What an image says of itself: docker's object, which is the OCI's and some more.
pub type Config = Map<String, Value>;

/// Applies them, one after the other.
///
/// # Errors
/// An instruction that is none, or that would need a build.
pub fn all(config: &mut Config, instructions: &[String]) -> Result<()> {
    let mut has_command = false;
    for instruction in instructions {
        let (word, rest) = split(instruction);
        let word = word.to_ascii_uppercase();
        // Of another program the words make no sense.
        if word == "ENTRYPOINT" && !has_command {
            config.remove("Cmd");
        }
        has_command |= word == "CMD";
        one(config, &word, rest, instruction)?;
    }
    Ok(())
}

fn one(config: &mut Config, word: &str, rest: &str, whole: &str) -> Result<()> {
    let needs_words = |given: bool| match given {
        true => Ok(()),
        false => Err(Error::new(format!("{word} requires at least one argument"))),
    };
    needs_words(!rest.is_empty())?;
    match word {
        "CMD" => set(config, "Cmd", json!(command(config, rest)?)),
        "ENTRYPOINT" => set(config, "Entrypoint", json!(command(config, rest)?)),
        "USER" => set(config, "User", json!(rest)),
        "WORKDIR" => {
            let now = config.get("WorkingDir").and_then(Value::as_str).unwrap_or("");
            let path = std::path::Path::new("/").join(now).join(rest);
            set(config, "WorkingDir", json!(path));
        }
        "STOPSIGNAL" => {
            signals::number(rest)?;
            set(config, "StopSignal", json!(rest));
        }
        "ENV" => {
            for (name, value) in pairs(config, rest)? {
                set_variable(config, &name, &value);
            }
        }
        "LABEL" => {
            for (name, value) in pairs(config, rest)? {
                part(config, "Labels", name, json!(value));
            }
        }
        "VOLUME" => {
            let more = if rest.starts_with('[') { list(rest)? } else { words(config, rest)? };
            more.into_iter().for_each(|path| part(config, "Volumes", path, json!({})));
        }
        "EXPOSE" => {
            for port in words(config, rest)? {
                ports(&port)?
                    .into_iter()
                    .for_each(|port| part(config, "ExposedPorts", port, json!({})));
            }
        }
        "ONBUILD" => {
            let inner = split(rest).0.to_ascii_uppercase();
            if ["ONBUILD", "FROM", "MAINTAINER"].contains(&&*inner) {
                return Err(Error::new(format!("{inner} isn't allowed as an ONBUILD trigger")));
            }
            let triggers = config.entry("OnBuild").or_insert(Value::Null);
            let mut all = triggers.as_array().cloned().unwrap_or_default();
            all.push(json!(rest));
            *triggers = json!(all);
        }
        "HEALTHCHECK" => set(config, "Healthcheck", json!(health(rest)?)),
        _ => return Err(not_allowed(whole)),
    }
    Ok(())
}

fn not_allowed(whole: &str) -> Error {
    Error::new(format!("{whole:?} is not a valid change command")).hint(
        "CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME \
         and WORKDIR are",
    )
}

fn split(instruction: &str) -> (&str, &str) {
    let instruction = instruction.trim();
    let (word, rest) = instruction.split_once(char::is_whitespace).unwrap_or((instruction, ""));
    (word, rest.trim())
}

fn set(config: &mut Config, key: &str, value: Value) {
    config.insert(key.to_owned(), value);
}

/// One entry of an object in it.
fn part(config: &mut Config, key: &str, name: String, value: Value) {
    let object = config.entry(key).or_insert(Value::Null);
    if !object.is_object() {
        *object = json!({});
    }
    object[name] = value;
}

/// A later variable takes an earlier one's place.
pub fn set_variable(config: &mut Config, name: &str, value: &str) {
    let list = config.entry("Env").or_insert(Value::Null);
    let mut all = list.as_array().cloned().unwrap_or_default();
    let new = json!(format!("{name}={value}"));
    let same =
        |old: &&mut Value| old.as_str().is_some_and(|old| old.split('=').next() == Some(name));
    match all.iter_mut().find(same) {
        Some(old) => *old = new,
        None => all.push(new),
    }
    *list = json!(all);
}

/// The exec form is a JSON list; the shell form runs in the image's shell.
fn command(config: &Config, text: &str) -> Result<Vec<String>> {
    if text.starts_with('[') {
        return list(text);
    }
    let shell = config.get("Shell").and_then(Value::as_array).filter(|shell| !shell.is_empty());
    let shell = shell.map(|words| words.iter().filter_map(Value::as_str).map(str::to_owned));
    let shell =
        shell.map_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()], Iterator::collect);
    Ok([shell, vec![text.to_owned()]].concat())
}

fn list(text: &str) -> Result<Vec<String>> {
    serde_json::from_str(text)
        .map_err(|_| Error::new(format!("{text:?} is not a list of strings, as JSON")))
}

/// `NAME=VALUE` any number of times, or the old `NAME VALUE`, whose value is all the rest.
fn pairs(config: &Config, text: &str) -> Result<Vec<(String, String)>> {
    let first = text.split(char::is_whitespace).next().unwrap_or("");
    if !first.contains('=') {
        let (name, value) = split(text);
        return match value {
            "" => Err(Error::new(format!("{text:?} must have a value: NAME=VALUE"))),
            _ => Ok(vec![(name.to_owned(), words(config, value)?.join(" "))]),
        };
    }
    let mut all: Vec<(String, String)> = Vec::new();
    for word in words(config, text)? {
        match (word.split_once('='), all.last_mut()) {
            (Some((name, value)), _) if !name.is_empty() => {
                all.push((name.to_owned(), value.to_owned()));
            }
            // Here no other line can come after it: a value may have spaces without quotes.
            (None, Some((_, value))) => *value += &format!(" {word}"),
            _ => return Err(Error::new(format!("{word:?} is not NAME=VALUE"))),
        }
    }
    Ok(all)
}

/// Words as a shell parts them: quotes keep spaces, a backslash keeps what follows, and
/// outside of single quotes `$NAME` is a variable of the image.
fn words(config: &Config, text: &str) -> Result<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        let add = word.get_or_insert_default();
        match (char, quote) {
            ('\'' | '"', None) => quote = Some(char),
            (_, Some(open)) if char == open => quote = None,
            ('\\', None | Some('"')) => match rest.next() {
                Some(next) if quote.is_none() || "\"\\$".contains(next) => add.push(next),
                Some(next) => add.extend(['\\', next]),
                None => add.push('\\'),
            },
            ('$', None | Some('"')) => {
                let braced = rest.next_if_eq(&'{').is_some();
                let mut name = String::new();
                while let Some(next) = rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(next);
                }
                if name.is_empty() || (braced && rest.next() != Some('}')) {
                    return Err(Error::new(format!("{text:?}: ${name} is not a variable's name")));
                }
                *add += variable(config, &name);
            }
            (space, None) if space.is_whitespace() => {
                words.extend(word.take().filter(|word| !word.is_empty()));
            }
            (char, _) => add.push(char),
        }
    }
    match quote {
        Some(quote) => Err(Error::new(format!("{text:?}: the quote {quote} is not closed"))),
        None => Ok(words.into_iter().chain(word).collect()),
    }
}

fn variable<'a>(config: &'a Config, name: &str) -> &'a str {
    let all = config.get("Env").and_then(Value::as_array);
    let mut all = all.into_iter().flatten().filter_map(Value::as_str);
    let value = |variable: &'a str| variable.strip_prefix(name)?.strip_prefix('=');
    all.find_map(value).unwrap_or("")
}

/// `80`, `53/udp`, `8000-8003`.
fn ports(text: &str) -> Result<Vec<String>> {
    let (range, kind) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let kind = kind.to_ascii_lowercase();
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last))
            if (1..=last).contains(&first) && ["tcp", "udp", "sctp"].contains(&&*kind) =>
        {
            Ok((first..=last).map(|port| format!("{port}/{kind}")).collect())
        }
        _ => Err(Error::new(format!("invalid containerPort: {text}"))),
    }
}

/// `NONE`, or options and `CMD`.
fn health(text: &str) -> Result<HealthCheck> {
    let mut check = HealthCheck::default();
    let mut left = text;
    while left.starts_with("--") {
        let (option, rest) = split(left);
        let wrong = || Error::new(format!("HEALTHCHECK: {option:?} is not an option"));
        let (name, value) = option.split_once('=').ok_or_else(wrong)?;
        let time = duration(value).filter(|nanos| *nanos == 0 || *nanos >= 1_000_000);
        match name {
            "--retries" => check.retries = value.parse().map_err(|_| wrong())?,
            "--interval" => check.interval = time.ok_or_else(wrong)?,
            "--timeout" => check.timeout = time.ok_or_else(wrong)?,
            "--start-period" => check.start_period = time.ok_or_else(wrong)?,
            "--start-interval" => check.start_interval = time.ok_or_else(wrong)?,
            _ => return Err(wrong()),
        }
        left = rest;
    }
    let (kind, rest) = split(left);
    check.test = match (kind.to_ascii_uppercase().as_str(), rest) {
        ("NONE", "") if check == HealthCheck::default() => vec!["NONE".to_owned()],
        ("CMD", rest) if rest.starts_with('[') => [vec!["CMD".to_owned()], list(rest)?].concat(),
        ("CMD", rest) if !rest.is_empty() => vec!["CMD-SHELL".to_owned(), rest.to_owned()],
        _ => return Err(Error::new("HEALTHCHECK wants NONE, or options and CMD and a command")),
    };
    Ok(check)
}
