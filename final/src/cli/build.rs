//! `dockster build`, `dockster builder prune`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, copy, stderr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use ch01_clone::Error;
use ch04_network::files;
use ch06_images::build::{Net, Options};
use ch06_images::registry::Platform;
use clap::{Args, Subcommand};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::context::Material;
use super::live::{confirmed, decimal};
use super::pull::{ProvideArgs, provide};
use super::run::variables;
use super::{complain, print};
use crate::engine::Engine;
use crate::engine::build::Onlooker;

/// Build an image from a Dockerfile
#[derive(Args, Debug)]
pub struct BuildArgs {
    /// A name for the image, with a tag or without
    #[arg(short, long, value_name = "NAME")]
    tag: Vec<String>,
    /// The Dockerfile; - is standard input [default: CONTEXT/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The stage that is wanted, if not the last
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// A value for ARG; without =VALUE the one that it has here
    #[arg(long, value_name = "NAME=VALUE")]
    build_arg: Vec<String>,
    /// A file for `RUN --mount=type=secret,id=NAME`
    #[arg(long, value_name = "id=NAME,src=FILE")]
    secret: Vec<String>,
    /// What network programs are on: default, none or host
    #[arg(long, value_name = "NETWORK", default_value = "default")]
    network: String,
    /// What Dockerfiles may ask for: network.host
    #[arg(long, value_name = "RIGHT", value_parser = ["network.host"])]
    allow: Vec<String>,
    /// A line for the programs' /etc/hosts: NAME:ADDRESS
    #[arg(long, value_name = "HOST")]
    add_host: Vec<String>,
    /// One more label for the image
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// For which machine: OS/ARCHITECTURE[/VARIANT] [default: this one]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Do everything again
    #[arg(long)]
    no_cache: bool,
    /// Pull images even if they are here
    #[arg(long)]
    pull: bool,
    /// Only the image's id
    #[arg(short, long)]
    quiet: bool,
    /// Write the image's id to this file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// The directory that COPY takes files from; - reads a Dockerfile, or an archive of the
    /// directory, from standard input
    #[arg(value_name = "CONTEXT")]
    context: PathBuf,
}

/// What is done to what was built before
#[derive(Subcommand)]
pub enum BuilderCommand {
    /// Build an image from a Dockerfile
    Build(Box<BuildArgs>),
    /// Forget what was built before
    Prune(PruneArgs),
}

/// Forget what was built before
#[derive(Args, Debug)]
pub struct PruneArgs {
    /// Accepted: all of it is forgotten
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// Builds an image, and says how far it has come.
pub fn build(engine: &Engine, args: &BuildArgs) -> anyhow::Result<u8> {
    // Kept until it is built: an archive that was unpacked goes with it.
    let material = Material::of(engine, &args.context, args.file.as_deref())?;
    let options = args.options(&material)?;
    // What a program says is not asked for, unless it fails.
    let hidden = match args.quiet {
        true => Some(File::from(memfd_create(c"output", MFdFlags::MFD_CLOEXEC)?)),
        false => None,
    };
    let output: OwnedFd = match &hidden {
        Some(file) => file.as_fd().try_clone_to_owned()?,
        None => stderr().as_fd().try_clone_to_owned()?,
    };
    let built = engine.build(
        &options,
        Onlooker {
            provide: &mut |image, platform| {
                let how = ProvideArgs::base(args.pull, args.quiet, platform);
                provide(engine, image, &how).map_err(ours)
            },
            say: &mut |line| {
                if !args.quiet {
                    eprintln!("{line}");
                }
            },
            output,
            hosts: args.add_host.iter().map(|text| files::extra(text)).collect::<Result<_, _>>()?,
        },
    );
    match built {
        Ok(image) => {
            if let Some(path) = &args.iidfile {
                std::fs::write(path, &image.id).with_context(|| format!("write {path:?}"))?;
            }
            if args.quiet { print(&format!("{}\n", image.id)) } else { Ok(0) }
        }
        Err(failure) => {
            if let Some(mut hidden) = hidden {
                hidden.rewind()?;
                copy(&mut hidden, &mut stderr())?;
            }
            match failure.status {
                Some(status) => {
                    complain(&failure.error.into());
                    Ok(status)
                }
                None => Err(failure.error.into()),
            }
        }
    }
}

/// Forgets it, and says how much that was.
pub fn builder(engine: &Engine, command: &BuilderCommand) -> anyhow::Result<u8> {
    let args = match command {
        BuilderCommand::Build(args) => return build(engine, args),
        BuilderCommand::Prune(args) => args,
    };
    if !args.force && !confirmed("WARNING! This will remove all build cache.")? {
        return Ok(0);
    }
    print(&format!("Total reclaimed space: {}\n", decimal(pruned(engine)?)))
}

/// Forgets it: how many bytes that was.
pub fn pruned(engine: &Engine) -> anyhow::Result<u64> {
    let before = engine.store().size()?;
    engine.store().forget_builds()?;
    Ok(before.saturating_sub(engine.store().size()?))
}

/// An error of ours comes out whole.
fn ours(error: anyhow::Error) -> Error {
    error.downcast().unwrap_or_else(|error| Error::new(format!("{error:#}")))
}

impl BuildArgs {
    fn options(&self, material: &Material) -> anyhow::Result<Options> {
        let args = variables(&self.build_arg)?;
        let args: BTreeMap<_, _> = args.iter().filter_map(|pair| split(pair)).collect();
        let given = args.get("SOURCE_DATE_EPOCH").cloned();
        let epoch = given.or_else(|| std::env::var("SOURCE_DATE_EPOCH").ok());
        let epoch = epoch.filter(|text| !text.is_empty()).map(|text| {
            text.parse().map_err(|_| anyhow!("SOURCE_DATE_EPOCH={text:?} is no number of seconds"))
        });
        Ok(Options {
            text: material.text.clone(),
            file: material.file.clone(),
            written: material.written,
            ignore: material.ignore.clone(),
            context: material.dir.clone(),
            tags: self.tag.clone(),
            target: self.target.clone(),
            args,
            secrets: self.secret.iter().map(|text| secret(text)).collect::<Result<_, _>>()?,
            network: Net::parse(&self.network)?,
            host_allowed: !self.allow.is_empty(),
            labels: self
                .label
                .iter()
                .map(|l| split(l).unwrap_or((l.clone(), String::new())))
                .collect(),
            platform: self.platform.as_deref().map(Platform::parse).transpose()?,
            no_cache: self.no_cache,
            epoch: epoch.transpose()?,
        })
    }
}

/// `id=NAME,src=FILE`; it has to be there.
fn secret(text: &str) -> anyhow::Result<(String, PathBuf)> {
    let (mut id, mut file) = (None, None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("id", value)) if !value.is_empty() => id = Some(value.to_owned()),
            Some(("src" | "source", value)) => file = Some(value),
            Some(("type", "file")) => {}
            _ => anyhow::bail!("invalid secret {text:?}: it is id=NAME,src=FILE"),
        }
    }
    let id = id.with_context(|| format!("invalid secret {text:?}: it has no id"))?;
    let file = file.unwrap_or(&id);
    let path =
        std::fs::canonicalize(file).with_context(|| format!("secret {id}: open {file:?}"))?;
    anyhow::ensure!(path.is_file(), "secret {id}: {file:?} is no file");
    Ok((id, path))
}

fn split(pair: &str) -> Option<(String, String)> {
    pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
}
