//! Catalogue: not needed to understand the chapter.
//!
//! Instructions of a Dockerfile that change what an image says of itself, and none of its
//! files: `--change` of `import` and `commit`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ch01_clone::{Error, Result};
use serde_json::{Map, Value};

use super::dockerfile::{Dockerfile, Line};
use super::expand;
use super::instruction::Instruction;
use super::stage::{Given, MORE, Stage};

/// What the OCI's configuration has: docker's object is that, and [`MORE`].
const KNOWN: [&str; 9] = [
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
];

/// Applies instructions, one after the other, to docker's object `config` of an image.
///
/// # Errors
/// One that is none, or that would need a build.
pub fn change(config: &mut Map<String, Value>, instructions: &[String]) -> Result<()> {
    let mut stage = Stage::scratch('\\');
    config.retain(|_, value| !value.is_null());
    let read = serde_json::from_value(config.clone().into());
    stage.config = read.map_err(|error| Error::new(format!("the image's config: {error}")))?;
    let more = MORE.iter().filter_map(|key| Some(((*key).to_owned(), config.get(*key)?.clone())));
    stage.more = more.collect();
    for instruction in instructions {
        one(&mut stage, instruction)?;
    }
    let written = serde_json::to_value(&stage.config).map_err(|e| Error::new(e.to_string()))?;
    let known = KNOWN.iter().map(|key| (*key, written.get(*key)));
    for (key, value) in known.chain(MORE.iter().map(|key| (*key, stage.more.get(*key)))) {
        match value {
            Some(value) => drop(config.insert(key.to_owned(), value.clone())),
            None => drop(config.remove(key)),
        }
    }
    Ok(())
}

fn one(stage: &mut Stage, text: &str) -> Result<()> {
    let not_allowed = || {
        Error::new(format!("{text:?} is not a valid change command")).hint(
            "CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME \
             and WORKDIR are",
        )
    };
    let lines = Dockerfile::parse(text).map_err(|_| not_allowed())?.lines;
    let [line] = &*lines else { return Err(not_allowed()) };
    let builds = ["FROM", "ARG", "COPY", "ADD", "RUN", "SHELL", "MAINTAINER"];
    if builds.contains(&&*line.word) || !super::instruction::known(&line.word) {
        return Err(not_allowed());
    }
    match Instruction::parse(&checked(line)?, stage.escape)? {
        Instruction::Workdir(text) => {
            let path = stage.path(&stage.word(&text)?);
            stage.config.set_working_dir(Some(path));
            Ok(())
        }
        other => {
            let (none, used) = (BTreeMap::new(), RefCell::default());
            stage.apply(&other, &Given { build: &none, global: &none, used: &used })
        }
    }
}

/// Of one line more can be said than of one among many: what is no list is a mistake, and a
/// value may have spaces without quotes.
fn checked(line: &Line) -> Result<Line> {
    let mut line = line.clone();
    if line.text.is_empty() {
        return Err(Error::new(format!("{} requires at least one argument", line.word)));
    }
    if line.text.starts_with('[') && serde_json::from_str::<Vec<String>>(&line.text).is_err() {
        return Err(Error::new(format!("{:?} is not a list of strings, as JSON", line.text)));
    }
    if ["ENV", "LABEL"].contains(&&*line.word) {
        let words = expand::split(&line.text, '\\')?;
        if words.first().is_some_and(|first| first.contains('=')) {
            let join = |all: String, word: &String| match (all.is_empty(), word.contains('=')) {
                (true, _) => word.clone(),
                (_, true) => format!("{all} {word}"),
                (_, false) => format!("{all}\\ {word}"),
            };
            line.text = words.iter().fold(String::new(), join);
        }
    }
    Ok(line)
}
