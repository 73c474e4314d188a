//! What the learner has done: `mine/.progress`, a line of plain text for each exercise.
//!
//! `01.2 done`, or `01.2 open no-map 2`: the last check saw what the section `no-map` of the
//! hints is about, and two hints have been given. The exercise touched last stands last.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::mine;

/// One exercise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// `01.2`.
    pub id: String,
    /// It has been right once.
    pub done: bool,
    /// The section of the hints that fits what was seen last.
    pub section: String,
    /// How many of its hints have been given.
    pub hints: usize,
}

impl Mark {
    fn new(id: &str) -> Mark {
        Mark { id: id.to_owned(), done: false, section: "not-done".into(), hints: 0 }
    }

    fn read(line: &str) -> Option<Mark> {
        let mut words = line.split_whitespace();
        let mut mark = Mark::new(words.next()?);
        mark.done = words.next() == Some("done");
        mark.section = words.next().unwrap_or("not-done").to_owned();
        mark.hints = words.next().and_then(|hints| hints.parse().ok()).unwrap_or(0);
        Some(mark)
    }

    fn line(&self) -> String {
        let Mark { id, done, section, hints } = self;
        format!("{id} {} {section} {hints}\n", if *done { "done" } else { "open" })
    }
}

/// All marks, the last touched last.
pub fn all(tree: &Path) -> Vec<Mark> {
    let text = fs::read_to_string(file(tree)).unwrap_or_default();
    text.lines().filter_map(Mark::read).collect()
}

/// The mark of one exercise.
pub fn of(tree: &Path, id: &str) -> Mark {
    all(tree).into_iter().find(|mark| mark.id == id).unwrap_or_else(|| Mark::new(id))
}

/// Writes down what `change` makes of the mark of one exercise; that.
pub fn change(tree: &Path, id: &str, change: impl FnOnce(&mut Mark)) -> Result<Mark> {
    let mut marks = all(tree);
    let mut mark = of(tree, id);
    marks.retain(|other| other.id != id);
    change(&mut mark);
    marks.push(mark.clone());
    let (new, file) = (mine::dir(tree).join(".progress.new"), file(tree));
    fs::create_dir_all(mine::dir(tree))?;
    fs::write(&new, marks.iter().map(Mark::line).collect::<String>())?;
    fs::rename(&new, &file).with_context(|| file.display().to_string())?;
    Ok(mark)
}

/// What a check saw: the hints begin anew if it is something else than before.
pub fn saw(tree: &Path, id: &str, section: &str) -> Result<Mark> {
    change(tree, id, |mark| {
        if mark.section != section {
            (mark.section, mark.hints) = (section.to_owned(), 0);
        }
    })
}

fn file(tree: &Path) -> PathBuf {
    mine::dir(tree).join(".progress")
}
