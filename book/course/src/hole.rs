//! Holes: a piece of a chapter's real source, taken out and to be written again.
//!
//! In the source stand `// HOLE: 01.1` and `// HOLE_END: 01.1` around a body.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::exercise::{Exercise, files};

/// A source file with a hole in it: what stands before, in, and after the marks. The
/// lines of the marks belong to before and after.
#[derive(Debug, PartialEq, Eq)]
pub struct Hole {
    /// Up to and with the line of the first mark.
    pub before: String,
    /// What is taken out.
    pub body: String,
    /// From the line of the second mark on.
    pub after: String,
}

impl Hole {
    /// Finds the hole of this number in a source text. `None` if it has no mark of it.
    pub fn find(text: &str, id: &str) -> Result<Option<Hole>> {
        let (begin, end) = (format!("// HOLE: {id}"), format!("// HOLE_END: {id}"));
        let mut parts = [String::new(), String::new(), String::new()];
        let mut part = 0;
        for line in text.split_inclusive('\n') {
            let (begins, ends) = (line.trim() == begin, line.trim() == end);
            if (begins && part != 0) || (ends && part != 1) {
                bail!("the marks of hole {id} are not a pair");
            }
            part += usize::from(ends);
            parts[part] += line;
            part += usize::from(begins);
        }
        let [before, body, after] = parts;
        match part {
            0 => Ok(None),
            1 => bail!("hole {id} has no end"),
            _ => Ok(Some(Hole { before, body, after })),
        }
    }

    /// The text with another body.
    pub fn filled(&self, body: &str) -> String {
        let end = if body.ends_with('\n') || body.is_empty() { "" } else { "\n" };
        format!("{}{body}{end}{}", self.before, self.after)
    }

    /// The text with nothing but `todo!` in it.
    pub fn open(&self, id: &str) -> String {
        let first = self.before.lines().last().unwrap_or_default();
        let indent = &first[..first.len() - first.trim_start().len()];
        self.filled(&format!("{indent}todo!(\"{id}\")\n"))
    }
}

/// The file below `crate_dir/src` that has this hole, and the hole.
pub fn of(crate_dir: &Path, id: &str) -> Result<(PathBuf, Hole)> {
    for file in sources(crate_dir) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let hole = Hole::find(&text, id).with_context(|| file.display().to_string())?;
        if let Some(hole) = hole {
            return Ok((file, hole));
        }
    }
    bail!("no file in {}/src has the mark // HOLE: {id}", crate_dir.display())
}

/// All files of the crate's sources.
pub fn sources(crate_dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![crate_dir.join("src")]);
    while let Some(dir) = open.pop() {
        let (folders, own): (Vec<_>, Vec<_>) = files(&dir).into_iter().partition(|p| p.is_dir());
        open.extend(folders);
        found.extend(own);
    }
    found
}

/// The chapter's manifest as the copy needs it: a name of its own, and no examples, which
/// are not copied. Its suite stays, for it judges.
pub fn manifest(chapter: &str, package: &str) -> String {
    let (mut text, mut section) = (String::new(), String::new());
    for line in chapter.lines() {
        if line.starts_with('[') {
            section = line.trim().to_owned();
        }
        match (section.as_str(), line) {
            ("[[example]]", _) => {}
            ("[package]", line) if line.starts_with("name = ") => {
                text += &format!("name = \"{package}\"\n");
            }
            _ => text += &format!("{line}\n"),
        }
    }
    text
}

/// The name of the chapter's suite: its `[[test]]`.
pub fn suite(exercise: &Exercise) -> Result<String> {
    let file = exercise.chapter_dir().join("Cargo.toml");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let after = text.split_once("[[test]]").context("the chapter has no suite")?.1;
    let name = after.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    Ok(name.context("the chapter's suite has no name")?.to_owned())
}
