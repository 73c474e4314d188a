//! `mine/`: the learner's own workspace, with a package for each exercise that was begun.
//!
//! It is a workspace of its own, so that whatever is typed there, the house builds and
//! its tests stay green. It has the same versions of everything, so it needs no network.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cargo::cargo;
use crate::exercise::{self, Exercise, name};
use crate::hole;
use crate::sync::put;

/// The workspace.
pub fn dir(tree: &Path) -> PathBuf {
    tree.join("mine")
}

/// Where cargo puts what it builds of it.
pub fn target(tree: &Path) -> PathBuf {
    tree.join("target/mine")
}

/// The folder of an exercise in it.
pub fn folder(tree: &Path, exercise: &Exercise) -> PathBuf {
    dir(tree).join(format!("{}-{}", exercise.id, exercise.name))
}

/// The package in that folder: cargo wants no digit in front and no point within.
pub fn package(exercise: &Exercise) -> String {
    format!("mine-{}", exercise.id.replace('.', "-"))
}

/// The file that the learner writes: `main.rs`, or the one with the hole.
pub fn file(tree: &Path, exercise: &Exercise) -> Result<PathBuf> {
    let folder = folder(tree, exercise);
    if !exercise.is_hole() {
        return Ok(folder.join("main.rs"));
    }
    // Where the marks are in the original: the learner may have lost his.
    let (original, _) = hole::of(exercise.chapter_dir(), &exercise.id)?;
    Ok(folder.join(original.strip_prefix(exercise.chapter_dir())?))
}

/// The exercises that were begun, in order.
pub fn begun(tree: &Path) -> Result<Vec<Exercise>> {
    let mut all = exercise::all(tree)?;
    all.retain(|exercise| folder(tree, exercise).exists());
    Ok(all)
}

/// Puts an exercise into the workspace. False if it is there already: then nothing of it
/// is touched.
pub fn start(tree: &Path, exercise: &Exercise) -> Result<bool> {
    prepare(tree)?;
    let folder = folder(tree, exercise);
    if folder.exists() {
        return Ok(false);
    }
    // Beside it first: a folder that stands there is whole.
    let new = dir(tree).join(".new");
    let _ = fs::remove_dir_all(&new);
    fs::create_dir_all(&new)?;
    let files = original(exercise)?;
    for (path, text) in files {
        put(&new.join(path), text.as_bytes())?;
    }
    fs::rename(&new, &folder).with_context(|| folder.display().to_string())?;
    Ok(true)
}

/// Gives the files of an exercise back as they were, and keeps the learner's beside them as
/// `main.rs.1`, `main.rs.2`, …; these.
pub fn reset(tree: &Path, exercise: &Exercise) -> Result<Vec<PathBuf>> {
    let folder = folder(tree, exercise);
    if !folder.exists() {
        bail!("{} is not begun: cargo x start {}", exercise.id, exercise.id);
    }
    prepare(tree)?;
    let mut kept = Vec::new();
    for (path, text) in original(exercise)? {
        let file = folder.join(path);
        match fs::read(&file) {
            Ok(theirs) if theirs == text.as_bytes() => continue,
            Ok(_) => {
                let aside = free_name(&file)?;
                fs::rename(&file, &aside)?;
                kept.push(aside);
            }
            Err(_) => {}
        }
        put(&file, text.as_bytes())?;
    }
    Ok(kept)
}

/// The chapter's program with the learner's own lines in its hole, built.
pub fn program(tree: &Path, chapter: &str) -> Result<PathBuf> {
    let exercise = exercise::find(tree, &format!("{chapter}.1"))?;
    if !folder(tree, &exercise).exists() {
        bail!("you have not begun it: cargo x start {}", exercise.id);
    }
    prepare(tree)?;
    let args = ["build", "--quiet", "-p", &package(&exercise)];
    let built = cargo(&dir(tree), Some(&target(tree)), &args)?;
    eprint!("{}", String::from_utf8_lossy(&built.stderr));
    if !built.status.success() {
        bail!("yours does not compile");
    }
    Ok(target(tree).join("debug").join(&exercise.chapter))
}

/// Makes the workspace around the exercises, or brings it up to date.
pub fn prepare(tree: &Path) -> Result<()> {
    let top = tree.join("Cargo.toml");
    let text = fs::read_to_string(&top).with_context(|| top.display().to_string())?;
    put(&dir(tree).join("Cargo.toml"), workspace(&text).as_bytes())?;
    let own = dir(tree).join(".cargo/config.toml");
    put(&own, config(tree).as_bytes())?;
    let lock = dir(tree).join("Cargo.lock");
    if !lock.exists() {
        fs::copy(tree.join("Cargo.lock"), &lock).with_context(|| lock.display().to_string())?;
    }
    Ok(())
}

/// The workspace's manifest, out of the house's own: the same versions, and paths that lead
/// one folder up.
pub fn workspace(top: &str) -> String {
    const WANTED: [&str; 3] = ["[workspace.", "[profile.dev]", "[profile.release]"];
    let mut text = "# Made by `cargo x start`: the versions are the house's own.\n\n\
         [workspace]\nresolver = \"3\"\nmembers = [\"*\"]\nexclude = [\".cargo\", \".new\"]\n"
        .to_owned();
    let mut wanted = false;
    for line in top.lines().filter(|line| !line.starts_with('#')) {
        if line.starts_with('[') {
            wanted = WANTED.iter().any(|section| line.starts_with(section));
            text += if wanted { "\n" } else { "" };
        }
        if wanted && !line.is_empty() {
            text += &line.replace("path = \"", "path = \"../");
            text.push('\n');
        }
    }
    text
}

/// Where cargo builds, and that `cargo x` means the same in here as one folder up.
fn config(tree: &Path) -> String {
    let text = "# Made by `cargo x start`.\n\n[build]\ntarget-dir = \"../target/mine\"\n";
    let (manifest, target) = (tree.join("Cargo.toml"), tree.join("target"));
    let (manifest, target) = (manifest.display(), target.display());
    let alias = format!(
        "run --quiet --manifest-path {manifest} --target-dir {target} \
         --package dockster-course --bin x --"
    );
    // An alias has no quotes: with a space in the path there can be none.
    match tree.to_string_lossy().contains(char::is_whitespace) {
        true => text.to_owned(),
        false => format!("{text}\n[alias]\nx = {alias:?}\n"),
    }
}

/// What an exercise's folder has in it at the beginning.
fn original(exercise: &Exercise) -> Result<Vec<(PathBuf, String)>> {
    let manifest = exercise.chapter_dir().join("Cargo.toml");
    let manifest = fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    if !exercise.is_hole() {
        let starter = exercise.dir.join("starter.rs");
        let starter =
            fs::read_to_string(&starter).with_context(|| starter.display().to_string())?;
        let own = program_manifest(&manifest, &package(exercise));
        return Ok(vec![("Cargo.toml".into(), own), ("main.rs".into(), starter)]);
    }
    let (holed, hole) = hole::of(exercise.chapter_dir(), &exercise.id)?;
    let own = hole::manifest(&manifest, &package(exercise));
    let mut found = vec![("Cargo.toml".into(), own)];
    for file in hole::sources(exercise.chapter_dir()) {
        let text = match file == holed {
            true => hole.open(&exercise.id),
            false => fs::read_to_string(&file).with_context(|| file.display().to_string())?,
        };
        found.push((file.strip_prefix(exercise.chapter_dir())?.to_owned(), text));
    }
    Ok(found)
}

/// The manifest of a program that may use what the chapter's examples may use.
fn program_manifest(chapter: &str, package: &str) -> String {
    let (mut own, mut section) = (String::new(), "");
    let mut needs: Vec<String> = vec!["checkpoint.workspace = true".into()];
    for line in chapter.lines() {
        if line.starts_with('[') {
            section = line.trim();
        }
        match (section, line.split_once(['.', ' ', '='])) {
            ("[package]", Some(("name", value))) => {
                let name = value.trim_matches(['=', ' ', '"']);
                own = format!("{name}.workspace = true");
            }
            // The last one wins: what examples may use beyond the library stands there.
            ("[dependencies]" | "[dev-dependencies]", Some((name, _))) => {
                needs.retain(|line| {
                    !line.starts_with(&format!("{name}.")) && !line.starts_with(&format!("{name} "))
                });
                needs.push(line.to_owned());
            }
            _ => {}
        }
    }
    needs.push(own);
    needs.retain(|line| !line.starts_with("dockster-tests") && !line.starts_with("libtest-mimic"));
    needs.sort();
    format!(
        "[package]\nname = \"{package}\"\nversion.workspace = true\nedition.workspace = true\n\
         publish = false\n\n[[bin]]\nname = \"{package}\"\npath = \"main.rs\"\n\n[dependencies]\n{}\n",
        needs.join("\n")
    )
}

/// `main.rs.1`, or the first number that is free.
fn free_name(file: &Path) -> Result<PathBuf> {
    let numbered = |number: u32| file.with_file_name(format!("{}.{number}", name(file)));
    (1..1000).map(numbered).find(|path| !path.exists()).context("there are 1000 old files")
}
