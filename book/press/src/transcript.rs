//! Transcripts: blocks `console`, which `cargo x verify` runs and compares.

use crate::attributes::attributes;
use crate::html::escape;

/// What a transcript's first line says.
#[derive(Debug, Default)]
pub struct Attributes {
    /// What it needs of the machine.
    pub needs: Vec<String>,
    /// What may differ from the page.
    pub differs: Vec<String>,
    /// Why it is not run.
    pub skip: Option<String>,
}

const NEEDS: [&str; 7] = ["root", "user", "v2", "v1", "limits", "ranges", "cargo"];
const DIFFERS: [&str; 7] = ["pids", "ids", "inodes", "times", "sizes", "paths", "lines"];
/// The most columns of a line.
pub const COLUMNS: usize = 78;

impl Attributes {
    /// Reads what stands behind `console`.
    pub fn read(text: &str) -> Result<Attributes, String> {
        let mut all = Attributes::default();
        for (key, value) in attributes(text)? {
            let value = value.ok_or(format!("{key}= has no value"))?;
            let words = || value.split(',').map(str::to_owned).collect::<Vec<_>>();
            let known = |known: &[&str], word: &str| match known.contains(&word) {
                true => Ok(()),
                false => Err(format!("no {key}={word}: {}", known.join(" "))),
            };
            match &*key {
                "needs" => all.needs = words(),
                "differs" => all.differs = words(),
                "skip" if value.trim().is_empty() => return Err("skip= has no reason".to_owned()),
                "skip" => all.skip = Some(value.clone()),
                _ => return Err(format!("no attribute {key:?}: needs differs skip")),
            }
            for word in if key == "needs" { words() } else { Vec::new() } {
                match word.strip_prefix("program:") {
                    Some(program) if !program.is_empty() => {}
                    _ => known(&NEEDS, &word)?,
                }
            }
            for word in if key == "differs" { words() } else { Vec::new() } {
                known(&DIFFERS, &word)?;
            }
        }
        Ok(all)
    }

    /// What stands below the block.
    fn tags(&self) -> String {
        let mut tags = Vec::new();
        if !self.differs.is_empty() {
            // A size is a number with a unit or without; in a sentence it is a number.
            let what = self.differs.join(", ").replace("sizes", "numbers");
            tags.push(format!("<span class=\"tag differs\">yours will differ: {what}</span>"));
        }
        if !self.needs.is_empty() {
            let names = self.needs.iter().map(|need| match &**need {
                "user" => "an ordinary user".to_owned(),
                "v2" => "cgroup v2".to_owned(),
                "v1" => "cgroup v1".to_owned(),
                "limits" => "cgroups in which you may set limits".to_owned(),
                "ranges" => "a range of ids".to_owned(),
                need => need.trim_start_matches("program:").to_owned(),
            });
            let names = names.collect::<Vec<_>>().join(", ");
            tags.push(format!("<span class=\"tag\">needs {}</span>", escape(&names)));
        }
        if let Some(reason) = &self.skip {
            tags.push(format!(
                "<span class=\"tag\">not run by the tests: {}</span>",
                escape(reason)
            ));
        }
        match tags.is_empty() {
            true => String::new(),
            false => format!("<p class=\"tags\">{}</p>\n", tags.join(" ")),
        }
    }
}

/// A line of a transcript.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// What is typed: the prompt and the rest.
    Typed(&'a str, &'a str),
    /// A key: `^C`, `^D`, `⏎`.
    Key(&'a str),
    /// What the machine says.
    Output(&'a str),
}

/// The lines of a transcript.
pub fn lines<'a>(body: &[&'a str]) -> Vec<Line<'a>> {
    let mut goes_on = false;
    let mut all = Vec::new();
    for line in body.iter().copied() {
        let prompt = if goes_on && line.starts_with("> ") { 2 } else { prompt(line) };
        goes_on = prompt > 0 && line.ends_with(" \\");
        all.push(match (prompt, line) {
            (_, "^C" | "^D" | "⏎") => Line::Key(line),
            (0, line) => Line::Output(line),
            (at, line) => Line::Typed(&line[..at], &line[at..]),
        });
    }
    all
}

/// How long the prompt is that a line begins with.
fn prompt(line: &str) -> usize {
    if let Some(at) = ["$ ", "2$ "].iter().find(|prompt| line.starts_with(**prompt)) {
        return at.len();
    }
    match line.strip_prefix('(').and_then(|rest| rest.split_once(") # ")) {
        Some((name, _)) if !name.contains(['(', ')']) => name.len() + "() # ".len(),
        _ => 0,
    }
}

/// As it stands on a page; all that is wrong: the line in the block, and what.
pub fn render(text: &str, body: &[&str]) -> Result<String, Vec<(usize, String)>> {
    let mut wrong = Vec::new();
    for (number, line) in body.iter().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS {
            wrong.push((number + 1, format!("{columns} columns, more than {COLUMNS}")));
        }
    }
    let lines = lines(body);
    if !matches!(lines.first(), Some(Line::Typed(..))) {
        wrong.push((1, "a transcript begins with a prompt".to_owned()));
    }
    let about = match Attributes::read(text) {
        Ok(about) => about,
        Err(what) => {
            wrong.push((0, what));
            return Err(wrong);
        }
    };
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let lines: Vec<String> = lines
        .iter()
        .map(|line| match line {
            Line::Typed(prompt, typed) => {
                format!("<span class=\"prompt\">{}</span><b>{}</b>", escape(prompt), escape(typed))
            }
            Line::Key(key) => format!("<kbd>{key}</kbd>"),
            Line::Output(text) => escape(text),
        })
        .collect();
    Ok(format!(
        "<div class=\"transcript\">\n\n<pre><code class=\"nohighlight\">{}\
         </code></pre>\n\n{}</div>",
        lines.join("\n"),
        about.tags(),
    ))
}
