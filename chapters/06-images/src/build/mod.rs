//! Catalogue: not needed to understand the chapter.
//!
//! From a Dockerfile to an image. Each instruction that changes files gives one layer, which
//! is written as an archive and then unpacked over those below, as a layer that was pulled is.
//!
//! - `dockerfile`, `instruction`, `flags`, `expand`, `health`, `ports`: what is written
//! - `context`, `glob`, `ignore`, `source`, `copy`: from the context, or another stage, to a layer
//! - `layer`, `cache`: layers packed, and found again by what they were made of
//! - `builder`, `stages`, `stage`: the whole, and what has come of each stage
//! - `settings`, `steps`, `programs`, `mounts`: one instruction after the other; `change`: without a build
//!
//! Running a program is for a higher floor: whoever builds gives a function for that.

mod builder;
mod cache;
mod change;
mod context;
mod copy;
mod dockerfile;
mod expand;
mod flags;
mod glob;
mod health;
mod ignore;
mod instruction;
mod layer;
mod mounts;
mod ports;
mod programs;
mod settings;
mod source;
mod stage;
mod stages;
mod steps;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ch01_clone::{Error, Result};

pub use change::change;
pub use context::Sent;
pub use mounts::Extra;

use crate::registry::Platform;
use crate::store::{Image, Store};

/// What is to be built.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The Dockerfile, its text.
    pub text: String,
    /// What it is called in messages.
    pub file: String,
    /// When it was written, in seconds since 1970.
    pub written: i64,
    /// The directory that `COPY` and `ADD` take files from; without one they cannot.
    pub context: Option<PathBuf>,
    /// The text of `.dockerignore`.
    pub ignore: String,
    /// The image's names, each with a tag or without.
    pub tags: Vec<String>,
    /// The stage that is wanted, by name or number, if not the last.
    pub target: Option<String>,
    /// Values for `ARG`.
    pub args: BTreeMap<String, String>,
    /// Files that only programs see that ask for them, by their ids.
    pub secrets: BTreeMap<String, PathBuf>,
    /// What network programs are on, unless `RUN --network` says otherwise.
    pub network: Net,
    /// Whether `RUN --network=host` may be said.
    pub host_allowed: bool,
    /// Labels besides those of the Dockerfile.
    pub labels: Vec<(String, String)>,
    /// For which machine, if not for this one.
    pub platform: Option<Platform>,
    /// Whether nothing is taken from what was built before.
    pub no_cache: bool,
    /// When all of it is to have been made, in seconds since 1970 (`SOURCE_DATE_EPOCH`); if
    /// not said, that is when the newest of what goes into it was changed. So the same input
    /// gives the same image.
    pub epoch: Option<i64>,
}

/// A program that `RUN` wants to be run.
pub struct Program<'a> {
    /// The stage as far as it is built, with its environment, user and directory.
    pub image: &'a Image,
    /// The program and its arguments.
    pub args: &'a [String],
    /// More variables, as `NAME=value`.
    pub env: &'a [String],
    /// What it has besides the stage's files.
    pub extras: &'a [Extra],
    /// What network it is on.
    pub network: Net,
}

/// The network of a program: `RUN --network`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Net {
    /// That on which a container is of which nothing is said.
    #[default]
    Default,
    /// None but its loopback.
    None,
    /// The host's.
    Host,
}

impl Net {
    /// Reads `default`, `none` or `host`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "default" => Ok(Net::Default),
            "none" => Ok(Net::None),
            "host" => Ok(Net::Host),
            other => Err(Error::new(format!("a build has no network {other:?}"))
                .hint("there are default, none and host")),
        }
    }
}

/// Takes a directory where an overlay has kept what a program has changed.
pub type Take<'a> = &'a mut dyn FnMut(&Path) -> Result<()>;

/// What a build needs of others.
pub struct Hands<'a> {
    /// Sees to it that an image is in the store, for a platform if it is said.
    pub provide: &'a mut dyn FnMut(&str, Option<&str>) -> Result<()>,
    /// Runs a program and gives its exit status. If that is 0, what it has changed is taken
    /// before it is thrown away.
    pub run: &'a mut dyn FnMut(&Program<'_>, Take<'_>) -> Result<u8>,
    /// Says how far it has come, a line at a time.
    pub say: &'a mut dyn FnMut(&str),
}

/// Why nothing was built.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong.
    pub error: Error,
    /// How a program has ended that should have ended with 0.
    pub status: Option<u8>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, status: None }
    }
}

impl Store {
    /// Builds an image.
    ///
    /// # Errors
    /// What is wrong in which line of the Dockerfile, and what could not be done there. Layers
    /// that were finished before are kept for the next attempt.
    pub fn build(&self, options: &Options, hands: &mut Hands<'_>) -> Result<Image, Failure> {
        self.sweep()?;
        let _held = self.lock_builds()?;
        builder::Builder::new(self, options, hands)?.build()
    }
}
