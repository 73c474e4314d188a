//! Excerpts of sources: what stands between `// ANCHOR: name` and `// ANCHOR_END: name`.

/// The most lines that an excerpt may have.
pub const LONGEST: usize = 30;

/// An excerpt of a source file.
#[derive(Clone, Debug)]
pub struct Excerpt {
    /// The number of its first shown line.
    pub first: usize,
    /// The number of its last shown line.
    pub last: usize,
    /// What is shown, without the common indentation.
    pub lines: Vec<String>,
}

/// What a line marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark<'a> {
    /// `ANCHOR: name`
    Start(&'a str),
    /// `ANCHOR_END: name`
    End(&'a str),
    /// `HOLE: name` or `HOLE_END: name`
    Hole,
}

/// The mark that a line of a source is.
pub fn mark(line: &str) -> Option<Mark<'_>> {
    let line = line.trim().strip_prefix("//")?.trim();
    let (word, name) = line.split_once(": ")?;
    match word {
        "ANCHOR" => Some(Mark::Start(name)),
        "ANCHOR_END" => Some(Mark::End(name)),
        "HOLE" | "HOLE_END" => Some(Mark::Hole),
        _ => None,
    }
}

/// Cuts an excerpt out of a source.
pub fn cut(text: &str, name: &str) -> Result<Excerpt, String> {
    let find = |wanted: Mark| text.lines().position(|line| mark(line) == Some(wanted));
    let start = find(Mark::Start(name)).ok_or(format!("no ANCHOR: {name}"))?;
    let end = find(Mark::End(name)).ok_or(format!("no ANCHOR_END: {name}"))?;
    let between = text.lines().enumerate().take(end).skip(start + 1);
    let mut shown: Vec<_> = between.filter(|(_, line)| mark(line).is_none()).collect();
    while shown.last().is_some_and(|(_, line)| line.trim().is_empty()) {
        shown.pop();
    }
    let blank = shown.iter().take_while(|(_, line)| line.trim().is_empty()).count();
    shown.drain(..blank);
    let (Some(first), Some(last)) = (shown.first(), shown.last()) else {
        return Err(format!("ANCHOR: {name} has no lines"));
    };
    let (first, last) = (first.0 + 1, last.0 + 1);
    let lines = unindented(&shown.iter().map(|(_, line)| *line).collect::<Vec<_>>());
    if lines.len() > LONGEST {
        return Err(format!("{name} has {} lines, more than {LONGEST}", lines.len()));
    }
    Ok(Excerpt { first, last, lines })
}

/// The lines without the indentation that all of them have.
fn unindented(lines: &[&str]) -> Vec<String> {
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let full = lines.iter().filter(|line| !line.trim().is_empty());
    let common = full.map(indent).min().unwrap_or(0);
    lines.iter().map(|line| line.get(common..).unwrap_or("").to_owned()).collect()
}

/// The anchors that a source begins: their lines and names.
pub fn names(text: &str) -> Vec<(usize, &str)> {
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(number, line)| match mark(line)? {
            Mark::Start(name) => Some((number + 1, name)),
            _ => None,
        })
        .collect()
}

/// What is wrong with a source's anchors: the line and what.
pub fn unbalanced(text: &str) -> Vec<(usize, String)> {
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    let mut wrong = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        match mark(line) {
            Some(Mark::Start(name)) => {
                if seen.contains(&name) {
                    wrong.push((number, format!("ANCHOR: {name} stands here twice")));
                }
                seen.push(name);
                open.push((number, name));
            }
            Some(Mark::End(name)) => match open.iter().position(|(_, other)| *other == name) {
                Some(at) => drop(open.remove(at)),
                None => wrong.push((number, format!("ANCHOR_END: {name} without a start"))),
            },
            _ => {}
        }
    }
    let never = open.into_iter().map(|(line, name)| (line, format!("ANCHOR: {name} has no end")));
    wrong.extend(never);
    wrong
}
