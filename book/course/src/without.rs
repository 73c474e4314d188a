//! Patches that take one piece out of a chapter, so that one sees what breaks:
//! `chapters/NN-name/without/PIECE.patch`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::exercise::{files, name, whole};
use crate::sync::put;

/// A patch: what its header says, and the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// `01.gate`.
    pub id: String,
    /// The chapter's folder, `01-clone`.
    pub chapter: String,
    /// `What:` what is taken out.
    pub what: String,
    /// `Test:` the suite, and the trial in it that fails without the piece.
    pub test: (String, String),
    /// `Needs:` what that trial needs of the host, as in an exercise's README.md.
    pub needs: Vec<String>,
    /// `Run:` the arguments of the chapter's program that show it.
    pub run: Vec<String>,
    /// The change as `diff -u` writes it.
    pub diff: String,
}

/// All patches, in order.
pub fn all(tree: &Path) -> Result<Vec<Piece>> {
    let mut found = Vec::new();
    for chapter in files(&tree.join("chapters")) {
        for file in files(&chapter.join("without")) {
            if name(&file).ends_with(".patch") {
                found.push(read(&file)?);
            }
        }
    }
    Ok(found)
}

/// The patch of this name, `01.gate`.
pub fn find(tree: &Path, id: &str) -> Result<Piece> {
    let id = whole(id);
    let all = all(tree)?;
    let same_chapter = |other: &&Piece| other.id.get(..2) == id.get(..2);
    let ids: Vec<_> = all.iter().filter(same_chapter).map(|piece| piece.id.clone()).collect();
    match all.into_iter().find(|piece| piece.id == id) {
        Some(piece) => Ok(piece),
        None => bail!("there is no piece {id}; there are: {}", ids.join(" ")),
    }
}

/// Reads one patch.
pub fn read(file: &Path) -> Result<Piece> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let chapter = file.ancestors().nth(2).map(name).unwrap_or_default();
    parse(&text, &chapter, name(file).trim_end_matches(".patch"))
        .with_context(|| file.display().to_string())
}

fn parse(text: &str, chapter: &str, piece: &str) -> Result<Piece> {
    let begin = text.find("--- ").filter(|at| *at == 0 || text[..*at].ends_with('\n'));
    let (header, diff) = text.split_at(begin.context("it has no line --- a/...")?);
    let line = |key: &str| header.lines().find_map(|line| Some(line.strip_prefix(key)?.trim()));
    let test = line("Test:").context("it lacks the line Test:")?;
    let (suite, trial) = test.split_once(' ').context("Test: takes a suite and a trial")?;
    Ok(Piece {
        id: format!("{}.{piece}", chapter.split('-').next().unwrap_or_default()),
        chapter: chapter.to_owned(),
        what: line("What:").context("it lacks the line What:")?.to_owned(),
        test: (suite.to_owned(), trial.trim().to_owned()),
        needs: line("Needs:")
            .unwrap_or_default()
            .split(',')
            .map(|word| word.trim().to_owned())
            .filter(|word| !word.is_empty())
            .collect(),
        run: words(line("Run:").context("it lacks the line Run:")?),
        diff: diff.to_owned(),
    })
}

/// Words as a shell sees them, as far as quotes go.
pub fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

impl Piece {
    /// The changed lines, with their `-` and `+`.
    pub fn changes(&self) -> Vec<&str> {
        let change = |line: &&str| {
            line.starts_with(['-', '+']) && !line.starts_with("--- ") && !line.starts_with("+++ ")
        };
        self.diff.lines().filter(change).collect()
    }

    /// The files that it changes, seen from the top of the tree.
    pub fn files(&self) -> Vec<PathBuf> {
        let lines = self.diff.lines().filter_map(|line| line.strip_prefix("--- a/"));
        lines.map(|path| path.split('\t').next().unwrap_or(path).into()).collect()
    }

    /// Takes the piece out of a tree.
    pub fn apply(&self, tree: &Path) -> Result<()> {
        for (file, text) in self.patched(tree)? {
            put(&file, text.as_bytes())?;
        }
        Ok(())
    }

    /// The files of a tree as they are without the piece. A patch may have moved, but each
    /// of its lines has to be as it says.
    pub fn patched(&self, tree: &Path) -> Result<Vec<(PathBuf, String)>> {
        let patched = self.parts().into_iter().map(|part| {
            let patch = diffy::Patch::from_str(part).context("it is no patch")?;
            let file = patch.original().and_then(|path| path.strip_prefix("a/"));
            let file = tree.join(file.context("its paths begin with a/ and b/")?);
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let text = diffy::apply(&text, &patch).with_context(|| {
                format!("{} does not apply: the source has changed since", self.id)
            })?;
            Ok((file, text))
        });
        patched.collect()
    }

    /// One diff for each file.
    fn parts(&self) -> Vec<&str> {
        let diff = self.diff.as_str();
        let begins = diff.match_indices("--- a/").map(|(at, _)| at);
        let begins: Vec<_> = begins
            .filter(|at| *at == 0 || diff[..*at].ends_with('\n'))
            .chain([diff.len()])
            .collect();
        begins.windows(2).map(|pair| &diff[pair[0]..pair[1]]).collect()
    }

    /// The package of its chapter.
    pub fn package(&self) -> String {
        format!("ch{}", self.chapter)
    }
}
