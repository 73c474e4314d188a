//! What x says to a learner: verdicts, as a good teacher gives them.

use std::io::IsTerminal;

use ch01_clone::narrate::fill;

use crate::check::Outcome;
use crate::exercise::Exercise;
use crate::judge::Verdict;

/// As wide as a line may be.
const WIDTH: usize = 78;

/// Colours are for terminals, and for those who did not refuse them.
pub fn colored() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Text in lines that fit; a line of its own stays one.
pub fn paragraph(text: &str, indent: usize) -> String {
    let space = " ".repeat(indent);
    let lines = text.lines().flat_map(|line| fill(line, WIDTH - indent));
    lines.map(|line| format!("{space}{line}").trim_end().to_owned() + "\n").collect()
}

/// Text of a page: its lines are joined, but for items of a list and empty lines.
pub fn prose(text: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut joins = false;
    for line in text.lines().map(str::trim) {
        let item = line.starts_with("- ") || line.starts_with(|c: char| c.is_ascii_digit());
        match parts.last_mut() {
            Some(last) if joins && !item && !line.is_empty() => *last += &format!(" {line}"),
            _ => parts.push(line.to_owned()),
        }
        joins = !line.is_empty();
    }
    let hang = |part: &String| if part.starts_with("- ") { 2 } else { 0 };
    let shown = parts.iter().map(|part| match hang(part) {
        0 => paragraph(part, 0),
        hang => format!("- {}", paragraph(&part[hang..], hang).trim_start()),
    });
    shown.map(|part| if part.is_empty() { "\n".to_owned() } else { part }).collect()
}

/// `label: text`, the text's further lines below its first.
fn labelled(label: &str, text: &str) -> String {
    let indent = 10;
    let text = paragraph(text, indent);
    format!("{label:<indent$}{}", text.strip_prefix(&" ".repeat(indent)).unwrap_or(&text))
}

/// `look:` and a command, which is never broken where it could not be typed so.
fn look(command: &str) -> String {
    let short = command.lines().all(|line| line.chars().count() <= WIDTH - 10);
    if short {
        return labelled("look:", command);
    }
    let lines = command.lines().map(|line| fill(line, WIDTH - 4).join(" \\\n    "));
    format!("look:\n  {}\n", lines.collect::<Vec<_>>().join("\n  "))
}

/// What is printed after a check.
pub fn outcome(exercise: &Exercise, outcome: &Outcome, next: &str) -> String {
    let (id, title) = (&exercise.id, &exercise.title);
    let head = |what: &str, color: &str| match colored() {
        true => format!("{id} {title}: \x1b[{color}m{what}\x1b[0m\n"),
        false => format!("{id} {title}: {what}\n"),
    };
    let hint = labelled("hint:", &format!("cargo x hint {id}"));
    match outcome {
        Outcome::Done(seen) => {
            head("green", "32") + &labelled("seen:", seen) + &labelled("next:", next)
        }
        Outcome::NotBuilt(_) => {
            head("does not compile", "31")
                + "The compiler says where, in mine/. Mend that first; nothing was judged yet.\n"
        }
        Outcome::Manifest(_) => {
            let text = "A Cargo.toml in mine/ cannot be read. Cargo reads them all, so one \
                        broken file stops every exercise. Mend it; or get the old one back with \
                        cargo x reset of that exercise: yours is kept beside it.";
            head("could not be built", "31") + &paragraph(text, 0)
        }
        Outcome::Not(Verdict::NotDone(missed)) => {
            head("not done yet", "33")
                + &labelled("missed:", missed)
                + &labelled("page:", &exercise.page)
                + &hint
        }
        Outcome::Not(Verdict::Wrong { observed, expected, look, .. }) => {
            head("wrong", "31")
                + &labelled("observed:", observed)
                + &labelled("expected:", expected)
                + &self::look(look)
                + &labelled("page:", &exercise.page)
                + &hint
        }
        Outcome::Not(Verdict::Host { because, cure }) => {
            head("this host can't", "33")
                + &labelled("because:", because)
                + &labelled("do this:", cure)
        }
    }
}

/// Words as one would type them.
pub fn quoted<S: AsRef<str>>(words: &[S]) -> String {
    let plain = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./=:,@%+".contains(c))
    };
    let quoted = |word: &str| match plain(word) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    words.iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(" ")
}
