//! A source tree: its pages, and small ways to read it.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::glossary::Glossary;

/// A source tree with a book in it.
#[derive(Debug)]
pub struct Tree {
    /// Its top.
    pub top: PathBuf,
    /// The pages of `book/src`, in the order of their paths, without the summary.
    pub pages: Vec<Page>,
    /// The summary.
    pub summary: String,
    /// What `glossary.md` explains.
    pub glossary: Glossary,
}

/// A page of the book.
#[derive(Clone, Debug)]
pub struct Page {
    /// From `book/src` on: `01-clone/pid.md`.
    pub path: String,
    /// As it was written.
    pub text: String,
}

impl Tree {
    /// Reads the tree below `top`. What is not there is empty.
    pub fn load(top: &Path) -> Tree {
        let src = top.join("book/src");
        let pages = files(&src, ".md")
            .into_iter()
            .map(|file| Page { path: shown(&src, &file), text: read(&file) });
        let (summary, pages): (Vec<_>, Vec<_>) = pages.partition(|page| page.path == "SUMMARY.md");
        let summary = summary.into_iter().map(|page| page.text).collect();
        let glossary = pages.iter().find(|page| page.path == "glossary.md");
        let glossary = Glossary::new(glossary.map_or("", |page| &page.text));
        Tree { top: top.to_owned(), pages, summary, glossary }
    }

    /// The page with this path.
    pub fn page(&self, path: &str) -> Option<&Page> {
        self.pages.iter().find(|page| page.path == path)
    }

    /// The folders of the chapters and of final, from the top on: `chapters/01-clone`.
    pub fn crates(&self) -> Vec<String> {
        let chapters = entries(&self.top.join("chapters")).into_iter();
        let all = chapters.chain([self.top.join("final")]).filter(|dir| dir.is_dir());
        all.map(|dir| shown(&self.top, &dir)).collect()
    }

    /// The pages that tell of the crate in this folder.
    pub fn pages_of(&self, folder: &str) -> impl Iterator<Item = &Page> {
        let name = folder.rsplit('/').next().unwrap_or(folder).to_owned();
        self.pages.iter().filter(move |page| page.chapter() == name)
    }

    /// The summary, in which a page that is not there yet has a title and no link.
    pub fn present(&self) -> String {
        let mut text = self.summary.clone();
        for target in self.summary.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if self.page(target).is_none() {
                text = text.replace(&format!("]({target})"), "]()");
            }
        }
        text
    }

    /// The text of a file, by its path from the top on.
    pub fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.top.join(path)).ok()
    }
}

impl Page {
    /// What its path begins with: `01-clone`, `final`, `introduction`.
    pub fn chapter(&self) -> &str {
        self.path.split('/').next().unwrap_or("").trim_end_matches(".md")
    }

    /// The number of its chapter: `01`. `None` for pages of no chapter.
    pub fn number(&self) -> Option<&str> {
        let (number, _) = self.chapter().split_once('-')?;
        (number.len() == 2 && number.bytes().all(|b| b.is_ascii_digit())).then_some(number)
    }

    /// The folder of its chapter's crate, from the top on, whether it is there or not.
    pub fn folder(&self) -> Option<String> {
        match (self.number(), self.chapter()) {
            (Some(_), chapter) => Some(format!("chapters/{chapter}")),
            (None, "final") => Some("final".to_owned()),
            _ => None,
        }
    }

    /// Its path from the top of the tree on, as it reads in a sentence.
    pub fn shown(&self) -> String {
        format!("book/src/{}", self.path)
    }

    /// The way from this page's folder to the book's top: `../` for each folder.
    pub fn up(&self) -> String {
        "../".repeat(self.path.matches('/').count())
    }

    /// One line that says what is wrong where.
    pub fn wrong(&self, line: usize, what: impl std::fmt::Display) -> String {
        format!("{}:{line}: {what}", self.shown())
    }
}

/// All files below `dir` whose names end like this, in order.
pub fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in entries(dir) {
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found
}

/// What lies in `dir`, in order.
pub fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The text of a file; of one that is not there, none.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A path as it reads from `top` on.
pub fn shown(top: &Path, path: &Path) -> String {
    path.strip_prefix(top).unwrap_or(path).display().to_string()
}

/// Takes `.` and `..` out of a relative path. `None` if it leaves its top.
pub fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            Component::ParentDir => plain.pop().then_some(())?,
            _ => return None,
        }
    }
    Some(plain)
}
