//! The exercises as they lie in the chapters' folders: `chapters/NN-name/exercises/M-name`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// An exercise, as its README.md describes it.
#[derive(Debug, Clone)]
pub struct Exercise {
    /// `01.2`.
    pub id: String,
    /// The chapter's folder, `01-clone`.
    pub chapter: String,
    /// Its own folder's name without the number, `orphans`.
    pub name: String,
    /// Where it lies.
    pub dir: PathBuf,
    /// The heading.
    pub title: String,
    /// `core`, `stretch` or `design`.
    pub lane: String,
    /// How long it takes, in minutes.
    pub minutes: u32,
    /// What the host must have; see `needs`.
    pub needs: Vec<String>,
    /// The page that teaches it, `01-clone/pid`.
    pub page: String,
    /// Of a hole: which trials of the chapter's suite judge it (parts of their names).
    pub tests: Vec<String>,
    /// What is to be done.
    pub task: String,
}

impl Exercise {
    /// A hole is filled in a copy of the chapter; any other one is a program of its own.
    pub fn is_hole(&self) -> bool {
        self.id.ends_with(".1")
    }

    /// The chapter's number, `01`.
    pub fn number(&self) -> &str {
        self.id.split('.').next().unwrap_or(&self.id)
    }

    /// The folder of its chapter.
    pub fn chapter_dir(&self) -> &Path {
        self.dir.ancestors().nth(2).unwrap_or(&self.dir)
    }

    /// The files `wrong-WHAT.rs` beside it, in order.
    pub fn wrong_answers(&self) -> Vec<PathBuf> {
        let mut files = files(&self.dir);
        files.retain(|file| name(file).starts_with("wrong-") && name(file).ends_with(".rs"));
        files
    }

    /// The hints of a section of hints.md, in order of how much they tell.
    pub fn hints(&self, section: &str) -> Result<Vec<String>> {
        let file = self.dir.join("hints.md");
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(hints(&text).into_iter().find(|(name, _)| name == section).map_or(Vec::new(), |s| s.1))
    }
}

/// All exercises of the course, in order.
pub fn all(tree: &Path) -> Result<Vec<Exercise>> {
    let mut found = Vec::new();
    for chapter in files(&tree.join("chapters")) {
        for dir in files(&chapter.join("exercises")) {
            if dir.is_dir() {
                found.push(read(&dir)?);
            }
        }
    }
    Ok(found)
}

/// The exercise of this number.
pub fn find(tree: &Path, id: &str) -> Result<Exercise> {
    let id = whole(id);
    match all(tree)?.into_iter().find(|exercise| exercise.id == id) {
        Some(exercise) => Ok(exercise),
        None => bail!("there is no exercise {id}; `cargo x progress` lists them"),
    }
}

/// `1.2` and `1` as they are written everywhere: `01.2`, `01`.
pub fn whole(id: &str) -> String {
    let chapter = id.split('.').next().unwrap_or(id);
    format!("{}{id}", if chapter.len() == 1 { "0" } else { "" })
}

/// Reads the exercise in this folder.
pub fn read(dir: &Path) -> Result<Exercise> {
    let file = dir.join("README.md");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let (title, keys, task) = parts(&text).with_context(|| file.display().to_string())?;
    let key = |wanted: &str| {
        let found = keys.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str());
        found.with_context(|| format!("{} lacks the line \"{wanted}: ...\"", file.display()))
    };
    let chapter = name(dir.ancestors().nth(2).unwrap_or(dir));
    let own = name(dir);
    let (number, own) = own.split_once('-').context("an exercise's folder is called M-name")?;
    Ok(Exercise {
        id: format!("{}.{number}", chapter.split('-').next().unwrap_or_default()),
        name: own.to_owned(),
        dir: dir.to_owned(),
        title,
        lane: key("lane")?.to_owned(),
        minutes: key("minutes")?
            .parse()
            .with_context(|| format!("minutes in {}", file.display()))?,
        needs: words(key("needs")?, ','),
        page: key("page")?.to_owned(),
        tests: key("tests").map(|tests| words(tests, ' ')).unwrap_or_default(),
        task,
        chapter,
    })
}

/// Lines `key: value`.
type Keys = Vec<(String, String)>;

/// A README.md: the heading, the lines `key: value` below it, and the text after them.
fn parts(text: &str) -> Result<(String, Keys, String)> {
    let mut lines = text.lines().skip_while(|line| line.trim().is_empty());
    let title = lines.next().and_then(|line| line.strip_prefix("# "));
    let title = title.context("the first line is no heading")?.trim().to_owned();
    let mut lines = lines.skip_while(|line| line.trim().is_empty());
    let keys = lines.by_ref().take_while(|line| !line.trim().is_empty());
    let keys = keys
        .map(|line| {
            let (key, value) =
                line.split_once(": ").with_context(|| format!("{line:?} is no key"))?;
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        })
        .collect::<Result<_>>()?;
    Ok((title, keys, lines.collect::<Vec<_>>().join("\n").trim().to_owned()))
}

/// The sections of a hints.md and the numbered points in each.
pub fn hints(text: &str) -> Vec<(String, Vec<String>)> {
    let mut sections: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            sections.push((name.trim().to_owned(), Vec::new()));
            continue;
        }
        let Some((_, points)) = sections.last_mut() else { continue };
        let number = format!("{}. ", points.len() + 1);
        match (line.strip_prefix(&number), points.last_mut()) {
            (Some(point), _) => points.push(point.trim().to_owned()),
            (None, Some(last)) if !line.trim().is_empty() => *last += &format!(" {}", line.trim()),
            _ => {}
        }
    }
    sections
}

fn words(text: &str, between: char) -> Vec<String> {
    let words = text.split(between).map(str::trim);
    words.filter(|word| !word.is_empty() && *word != "none").map(str::to_owned).collect()
}

/// What lies in `dir`, in order.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.collect();
    files.sort();
    files
}

/// The last part of a path.
pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
