//! Catalogue: not needed to understand the chapter.
//!
//! What `HEALTHCHECK` says.

use ch01_clone::{Error, Result};
use serde_json::{Value, json};

use super::dockerfile::cut;
use super::flags::Flags;
use super::instruction::{Command, command};

/// As docker's configuration has it: a test, and times in nanoseconds.
pub(crate) fn check(text: &str, flags: &mut Flags) -> Result<Value> {
    let (kind, rest) = cut(text);
    let test = match (kind.to_ascii_uppercase().as_str(), command(rest)) {
        ("NONE", _) if rest.is_empty() => return Ok(json!({ "Test": ["NONE"] })),
        ("CMD", Command::Exec(words)) if !words.is_empty() => {
            std::iter::once("CMD".to_owned()).chain(words).collect()
        }
        ("CMD", Command::Shell(text)) if !text.is_empty() => vec!["CMD-SHELL".to_owned(), text],
        _ => return Err(Error::new("HEALTHCHECK is followed by NONE, or by CMD and a command")),
    };
    let mut all = json!({ "Test": test });
    for (flag, key) in [
        ("interval", "Interval"),
        ("timeout", "Timeout"),
        ("start-period", "StartPeriod"),
        ("start-interval", "StartInterval"),
    ] {
        if let Some(text) = flags.take(flag) {
            // As docker: shorter than a millisecond is a mistake, and 0 the default.
            let time = nanoseconds(&text).filter(|time| *time == 0 || *time >= 1_000_000);
            let wrong = || Error::new(format!("--{flag}={text} is no duration, such as 30s"));
            all[key] = time.ok_or_else(wrong)?.into();
        }
    }
    if let Some(text) = flags.take("retries") {
        let retries = text.parse::<u32>();
        all["Retries"] = retries.map_err(|_| Error::new(format!("--retries={text}")))?.into();
    }
    Ok(all)
}

/// `1m30s`, `500ms`, as Go writes durations.
fn nanoseconds(text: &str) -> Option<u64> {
    let (mut all, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let (number, unit) = rest.split_at(rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?);
        let length = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let each = match &unit[..length] {
            "h" => 3.6e12,
            "m" => 6e10,
            "s" => 1e9,
            "ms" => 1e6,
            "us" | "µs" => 1e3,
            "ns" => 1.0,
            _ => return None,
        };
        all += number.parse::<f64>().ok()? * each;
        rest = &unit[length..];
    }
    (!text.is_empty()).then_some(all as u64)
}
