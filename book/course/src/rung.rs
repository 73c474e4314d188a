//! Rungs: the small programs that a chapter begins with, each ending in a visible failure:
//! `chapters/NN-name/examples/rung-M.rs`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::exercise::{files, name, whole};

/// A rung, as its first lines describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// `01.1`.
    pub id: String,
    /// The chapter's folder, `01-clone`.
    pub chapter: String,
    /// Its source.
    pub file: PathBuf,
    /// What it is about.
    pub title: String,
    /// `Types:` the lines that are given to it.
    pub types: Vec<String>,
    /// `Shows:` what it must show: the failure.
    pub shows: Vec<String>,
    /// `Needs:` `root` or `user`, if it is not for both.
    pub needs: Vec<String>,
}

impl Rung {
    /// The name of the example that cargo builds of it.
    pub fn example(&self) -> String {
        format!("{}-rung-{}", self.number().0, self.number().1)
    }

    /// The package of its chapter.
    pub fn package(&self) -> String {
        format!("ch{}", self.chapter)
    }

    fn number(&self) -> (&str, &str) {
        self.id.split_once('.').unwrap_or((&self.id, ""))
    }
}

/// All rungs, in order.
pub fn all(tree: &Path) -> Result<Vec<Rung>> {
    let mut found = Vec::new();
    for chapter in files(&tree.join("chapters")) {
        for file in files(&chapter.join("examples")) {
            if name(&file).starts_with("rung-") {
                found.push(read(&file)?);
            }
        }
    }
    Ok(found)
}

/// The rung of this number.
pub fn find(tree: &Path, id: &str) -> Result<Rung> {
    let id = whole(id);
    let all = all(tree)?;
    let ids: Vec<_> = all.iter().map(|rung| rung.id.clone()).collect();
    match all.into_iter().find(|rung| rung.id == id) {
        Some(rung) => Ok(rung),
        None => bail!("there is no rung {id}; there are: {}", ids.join(" ")),
    }
}

/// Reads one rung.
pub fn read(file: &Path) -> Result<Rung> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let chapter = file.ancestors().nth(2).map(name).unwrap_or_default();
    let own = name(file);
    let number = own.strip_prefix("rung-").and_then(|own| own.strip_suffix(".rs"));
    let number = number.context("a rung is called rung-N.rs")?;
    let header = || text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim_start);
    let values = |key: &str| -> Vec<String> {
        header().filter_map(|line| Some(line.strip_prefix(key)?.trim().to_owned())).collect()
    };
    let title = values(&format!("Rung {number}:")).pop();
    Ok(Rung {
        id: format!("{}.{number}", chapter.split('-').next().unwrap_or_default()),
        title: title
            .with_context(|| format!("{} does not begin //! Rung {number}:", file.display()))?,
        types: values("Types:"),
        shows: values("Shows:"),
        needs: values("Needs:"),
        file: file.to_owned(),
        chapter,
    })
}
