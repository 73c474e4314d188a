//! A transcript's lines: what is typed, where, and what it answers.

use anyhow::{Context, Result, bail};

/// A key that is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// `⏎`
    Enter,
    /// `^C`
    Interrupt,
    /// `^D`
    End,
}

impl Key {
    fn shown(text: &str) -> Option<Key> {
        match text {
            "⏎" => Some(Key::Enter),
            "^C" => Some(Key::Interrupt),
            "^D" => Some(Key::End),
            _ => None,
        }
    }

    /// What a keyboard sends.
    pub(super) fn bytes(self) -> &'static str {
        match self {
            Key::Enter => "\r",
            Key::Interrupt => "\x03",
            Key::End => "\x04",
        }
    }
}

/// What happens in a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// A command; more than one line if lines but the last end in ` \`.
    Line(Vec<String>),
    /// A key.
    Key(Key),
    /// Nothing: the other terminal was looked at, and this one goes on (`1…`).
    Nothing,
}

/// Something typed, and the output up to the next step.
#[derive(Debug, Clone)]
pub struct Step {
    /// The line in the file, from 1.
    pub line: usize,
    /// 0 for the first terminal, 1 for the second.
    pub terminal: usize,
    /// The prompt before it, with its space at the end; a bare key has none.
    pub prompt: Option<String>,
    /// What is typed.
    pub typed: Typed,
    /// The lines of the page, as they are there.
    pub source: Vec<String>,
    /// What it answers.
    pub output: Vec<String>,
}

impl Step {
    /// The command that is typed, its lines as one.
    pub(super) fn command(&self) -> Option<String> {
        match &self.typed {
            Typed::Line(lines) => Some(lines.join(" ").replace(" \\ ", " ")),
            _ => None,
        }
    }
}

/// All steps of a block whose first line has this number.
pub(super) fn parse(lines: &[&str], first: usize) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    let mut goes_on = false;
    for (number, line) in (first..).zip(lines) {
        if goes_on {
            goes_on = go_on(steps.last_mut(), line).with_context(|| format!("line {number}"))?;
        } else if let Some(step) = typed(line, number) {
            goes_on = ends_open(&step.typed);
            steps.push(step);
        } else if let Some(step) = steps.last_mut() {
            step.output.push((*line).into());
        } else {
            bail!("line {number}: a transcript begins with a prompt, `$ `");
        }
    }
    if steps.is_empty() {
        bail!("line {first}: nothing is typed in this transcript");
    }
    if goes_on {
        bail!("line {first}: the last command is not whole");
    }
    Ok(steps)
}

/// Takes the line `> …` of a command that goes on; whether it still does.
fn go_on(step: Option<&mut Step>, line: &str) -> Result<bool> {
    let more =
        line.strip_prefix("> ").context("a command that ends in ` \\` goes on after `> `")?;
    if let Some(Step { typed: Typed::Line(all), source, .. }) = step {
        all.push(more.into());
        source.push(line.into());
    }
    Ok(more.ends_with(" \\"))
}

fn ends_open(typed: &Typed) -> bool {
    matches!(typed, Typed::Line(all) if all.last().is_some_and(|l| l.ends_with(" \\")))
}

/// What a line types, unless it is output.
fn typed(line: &str, number: usize) -> Option<Step> {
    let (terminal, rest) = match line.strip_prefix('2') {
        Some(rest) if prompt(rest).is_some() || Key::shown(rest).is_some() => (1, rest),
        _ => (0, line),
    };
    let (prompt, typed) = match prompt(rest) {
        Some((prompt, text)) => {
            let key = Key::shown(text).filter(|key| *key != Key::Enter);
            let typed = key.map_or_else(|| Typed::Line(vec![text.into()]), Typed::Key);
            (Some(prompt), typed)
        }
        None if line == "1…" => (None, Typed::Nothing),
        None => (None, Typed::Key(Key::shown(rest)?)),
    };
    Some(Step {
        line: number,
        terminal,
        prompt,
        typed,
        source: vec![line.into()],
        output: Vec::new(),
    })
}

/// The prompt that a line begins with, and what is typed after it.
fn prompt(line: &str) -> Option<(String, &str)> {
    let is_name = |name: &str| {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "- ".contains(c);
        !name.is_empty() && name.chars().all(fits)
    };
    let name = line.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let prompt = match name {
        Some((name, _)) if is_name(name) => format!("({name}) # "),
        _ => "$ ".into(),
    };
    match line.strip_prefix(&*prompt) {
        Some(text) => Some((prompt, text)),
        // Editors take off the space at a line's end.
        None if line == prompt.trim_end() => Some((prompt, "")),
        None => None,
    }
}
