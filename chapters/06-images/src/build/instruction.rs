//! Catalogue: not needed to understand the chapter.
//!
//! What each line of a Dockerfile says, with its variables still in it.

use ch01_clone::{Error, Result};
use serde_json::Value;

use super::dockerfile::{Document, Line, announced, cut};
use super::flags::Flags;
use super::mounts::Asked;
use super::{Net, expand, health};

/// A command, in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// `["program", "argument"]`
    Exec(Vec<String>),
    /// A text for the shell.
    Shell(String),
}

/// What `COPY` and `ADD` say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Copy {
    /// `ADD`: archives are unpacked.
    pub(crate) unpack: bool,
    /// The stage or image that the files are in, if not in the context.
    pub(crate) from: Option<String>,
    pub(crate) chown: Option<String>,
    pub(crate) chmod: Option<String>,
    pub(crate) sources: Vec<String>,
    pub(crate) to: String,
    pub(crate) documents: Vec<Document>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Instruction {
    From {
        image: String,
        platform: Option<String>,
        name: Option<String>,
    },
    Arg(Vec<(String, Option<String>)>),
    Env(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Copy(Copy),
    Run(Command, Vec<Asked>, Net),
    Cmd(Command),
    Entrypoint(Command),
    Shell(Vec<String>),
    Workdir(String),
    User(String),
    Expose(String),
    Volume(Vec<String>),
    StopSignal(String),
    /// As docker's configuration has it.
    Healthcheck(Value),
    Onbuild(String),
    Maintainer(String),
}

impl Instruction {
    /// Reads a line.
    pub(crate) fn parse(line: &Line, escape: char) -> Result<Self> {
        let text = &*line.text;
        let mut flags = Flags::of(line)?;
        let word = &*line.word;
        if text.is_empty() && !matches!(word, "CMD" | "ENTRYPOINT") {
            let needs = if known(word) { "requires at least one argument" } else { "is unknown" };
            return Err(Error::new(format!("{word} {needs}")));
        }
        let read = match word {
            "FROM" => from(text, &mut flags)?,
            "ARG" => Instruction::Arg(arguments(text, escape)?),
            "ENV" => Instruction::Env(pairs(word, text, escape)?),
            "LABEL" => Instruction::Label(pairs(word, text, escape)?),
            "COPY" | "ADD" => Instruction::Copy(copy(line, &mut flags)?),
            "RUN" => {
                let mut mounts = Vec::new();
                while let Some(text) = flags.take("mount") {
                    mounts.push(Asked::parse(&text)?);
                }
                let network = flags.take("network").map(|text| Net::parse(&text)).transpose()?;
                Instruction::Run(command(text), mounts, network.unwrap_or_default())
            }
            "CMD" => Instruction::Cmd(command(text)),
            "ENTRYPOINT" => Instruction::Entrypoint(command(text)),
            "SHELL" => match command(text) {
                Command::Exec(words) if !words.is_empty() => Instruction::Shell(words),
                _ => return Err(Error::new("SHELL requires the arguments to be in JSON form")),
            },
            "WORKDIR" => Instruction::Workdir(text.to_owned()),
            "USER" => Instruction::User(text.to_owned()),
            "EXPOSE" => Instruction::Expose(text.to_owned()),
            "VOLUME" => Instruction::Volume(list(text)),
            "STOPSIGNAL" => Instruction::StopSignal(text.to_owned()),
            "HEALTHCHECK" => Instruction::Healthcheck(health::check(text, &mut flags)?),
            "ONBUILD" => Instruction::Onbuild(onbuild(text)?),
            "MAINTAINER" => Instruction::Maintainer(text.to_owned()),
            other => return Err(Error::new(format!("unknown instruction: {other}"))),
        };
        flags.end().map(|()| read)
    }
}

pub(super) fn known(word: &str) -> bool {
    const ALL: [&str; 18] = [
        "FROM",
        "ARG",
        "ENV",
        "LABEL",
        "COPY",
        "ADD",
        "RUN",
        "CMD",
        "ENTRYPOINT",
        "SHELL",
        "WORKDIR",
        "USER",
        "EXPOSE",
        "VOLUME",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ONBUILD",
        "MAINTAINER",
    ];
    ALL.contains(&word)
}

fn from(text: &str, flags: &mut Flags) -> Result<Instruction> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (image, name) = match words[..] {
        [image] => (image, None),
        [image, by, name] if by.eq_ignore_ascii_case("as") => (image, Some(stage_name(name)?)),
        _ => return Err(Error::new("FROM requires either one argument, or three: IMAGE AS NAME")),
    };
    Ok(Instruction::From { image: image.to_owned(), platform: flags.take("platform"), name })
}

fn stage_name(name: &str) -> Result<String> {
    let name = name.to_ascii_lowercase();
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(fine) {
        true => Ok(name),
        false => Err(Error::new(format!("invalid name for build stage: {name:?}"))),
    }
}

fn arguments(text: &str, escape: char) -> Result<Vec<(String, Option<String>)>> {
    let one = |word: String| match word.split_once('=') {
        Some(("", _)) => Err(Error::new(format!("ARG has no name in {word:?}"))),
        Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
        None => Ok((word, None)),
    };
    expand::split(text, escape)?.into_iter().map(one).collect()
}

/// `NAME=value NAME=value`, or `NAME all that follows`.
fn pairs(word: &str, text: &str, escape: char) -> Result<Vec<(String, String)>> {
    let (first, rest) = cut(text);
    if !first.contains('=') {
        return match rest {
            "" => Err(Error::new(format!("{word} must have two arguments"))),
            rest => Ok(vec![(first.to_owned(), rest.to_owned())]),
        };
    }
    let one = |pair: String| match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::new(format!("{word} can't find = in {pair:?}: it must be name=value"))),
    };
    expand::split(text, escape)?.into_iter().map(one).collect()
}

/// The exec form is a JSON list; all else is a text for the shell.
pub(crate) fn command(text: &str) -> Command {
    match serde_json::from_str(text) {
        Ok(words) => Command::Exec(words),
        Err(_) => Command::Shell(text.to_owned()),
    }
}

/// A JSON list, or words.
fn list(text: &str) -> Vec<String> {
    match command(text) {
        Command::Exec(words) => words,
        Command::Shell(text) => text.split_whitespace().map(str::to_owned).collect(),
    }
}

fn copy(line: &Line, flags: &mut Flags) -> Result<Copy> {
    let mut words = list(&line.text);
    let unpack = line.word == "ADD";
    let to = words.pop().unwrap_or_default();
    let sources: Vec<String> = words.into_iter().filter(|w| announced(w).is_none()).collect();
    if sources.is_empty() && line.documents.is_empty() {
        let text = format!("{} requires at least two arguments: SOURCE DESTINATION", line.word);
        return Err(Error::new(text));
    }
    let far = |source: &&String| {
        ["http://", "https://", "ftp://", "git@", "git://"].iter().any(|s| source.starts_with(s))
    };
    if let Some(source) = sources.iter().find(far) {
        return Err(Error::new(format!(
            "{} of {source:?}: only local files can be added",
            line.word
        ))
        .hint("download it into the context before the build"));
    }
    let several = sources.len() + line.documents.len() > 1;
    if several && !to.ends_with('/') {
        return Err(Error::new(format!(
            "When using {} with more than one source file, the destination must be a directory and end with a /",
            line.word
        )));
    }
    // With or without it the files are in a layer of their own.
    flags.take_switch("link")?;
    let from = if unpack { None } else { flags.take("from") };
    let (chown, chmod) = (flags.take("chown"), flags.take("chmod"));
    Ok(Copy { unpack, from, chown, chmod, sources, to, documents: line.documents.clone() })
}

fn onbuild(text: &str) -> Result<String> {
    let word = cut(text).0.to_ascii_uppercase();
    match &*word {
        "ONBUILD" => Err(Error::new("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")),
        "FROM" | "MAINTAINER" => {
            Err(Error::new(format!("{word} isn't allowed as an ONBUILD trigger")))
        }
        _ => Ok(text.to_owned()),
    }
}
