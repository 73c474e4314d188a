//! A copy of the house, in which tests may change and build what they like.

use std::path::{Path, PathBuf};
use std::process::Output;

use course::cargo::cargo;
use course::check::Sum;
use course::sync::sync;
use course::without::Piece;
use dockster_tests::{Failed, Need, Trial, find_program, source_dir, trial};

use crate::exercises::programs;

/// A test that builds something. It runs where there is cargo, and where that does not
/// take an hour. (Not `Need::Program`: .ci/run tests as a user who has none, on purpose.)
pub fn building(
    name: &str,
    needs: &[Need],
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let needs: Vec<_> = needs.iter().copied().chain([Need::Speed, Need::UserNamespaces]).collect();
    match find_program("cargo") {
        Some(_) => trial(name, &needs, test),
        None => Trial::test(name, test).with_kind("needs cargo").with_ignored_flag(true),
    }
}

/// A tree, and where it is built.
pub struct House {
    pub tree: PathBuf,
    pub target: PathBuf,
}

impl House {
    /// The copy of the real one, up to date. It stays, so that the next time cargo has
    /// little to do.
    pub fn copy() -> Result<House, Failed> {
        let dir = programs().parent().ok_or("no target directory")?.join("course");
        let house = House { tree: dir.join("tree"), target: dir.join("target") };
        sync(source_dir(), &house.tree)?;
        Ok(house)
    }

    /// Another one, just made up.
    pub fn at(tree: &Path) -> House {
        House { tree: tree.to_owned(), target: tree.join("target") }
    }

    /// Runs the one test that a patch names.
    pub fn test(&self, piece: &Piece) -> Result<(Sum, String), Failed> {
        let (suite, trial) = &piece.test;
        let package = piece.package();
        let args = ["test", "--quiet", "-p", &package, "--test", suite, "--", "--exact", trial];
        let done = cargo(&self.tree, Some(&self.target), &args)?;
        let text = text(&done);
        match text.contains("test result:") {
            true => Ok((Sum::read(&String::from_utf8_lossy(&done.stdout)), text)),
            false => Err(format!("it does not build, or its suite breaks off:\n{text}").into()),
        }
    }
}

fn text(done: &Output) -> String {
    String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr)
}
