//! `dockster pull`, and what `run` and `create` do for an image that is not here.

use ch06_images::name::{self, Reference};
use ch06_images::registry::Platform;
use clap::{Args, ValueEnum};

use super::print;
use super::progress::{Board, PULL, Where};
use crate::engine::Engine;

/// Download an image from a registry
#[derive(Args, Debug)]
pub struct PullArgs {
    /// Only the name at the end
    #[arg(short, long)]
    quiet: bool,
    /// For which machine: OS/ARCHITECTURE[/VARIANT] [default: this one]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// `[HOST[:PORT]/]NAME[:TAG|@DIGEST]`
    image: String,
}

/// When an image is pulled before a container is made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// Even if it is here
    Always,
    /// If it is not here
    Missing,
    /// Not at all
    Never,
}

/// What `run` and `create` take.
#[derive(Args, Debug)]
pub struct ProvideArgs {
    /// Pull the image before: `always`, `missing` or `never`
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value = "missing",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pull: When,
    /// For which machine it has to be: OS/ARCHITECTURE[/VARIANT]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Say nothing while the image is pulled
    #[arg(short, long)]
    quiet: bool,
}

impl ProvideArgs {
    /// What a build says of an image that it builds upon.
    pub fn base(always: bool, quiet: bool, platform: Option<&str>) -> Self {
        let pull = if always { When::Always } else { When::Missing };
        Self { pull, platform: platform.map(str::to_owned), quiet }
    }
}

/// Pulls it, in docker's words.
pub fn pull(engine: &Engine, args: &PullArgs) -> anyhow::Result<u8> {
    let reference = name::parse(&args.image)?;
    let place = if args.quiet { Where::Quiet } else { Where::Out };
    fetch(engine, &reference, args.platform.as_deref(), place)?;
    print(&format!("{}\n", in_full(&reference)))
}

/// Sees to it that the image is here, if it is to be pulled.
pub fn provide(engine: &Engine, image: &str, args: &ProvideArgs) -> anyhow::Result<()> {
    engine.provide_hello(image)?;
    let platform = args.platform.as_deref().map(Platform::parse).transpose()?;
    if args.pull != When::Always && engine.store().has(image, platform.as_ref())? {
        return Ok(());
    }
    let place = if args.quiet { Where::Quiet } else { Where::Err };
    match name::parse(image) {
        Ok(reference) if args.pull != When::Never => {
            if args.pull == When::Missing && !args.quiet {
                eprintln!("Unable to find image '{reference}' locally");
            }
            fetch(engine, &reference, args.platform.as_deref(), place)
        }
        // Who makes the container says what is wrong.
        _ => Ok(()),
    }
}

fn fetch(
    engine: &Engine,
    reference: &Reference,
    platform: Option<&str>,
    place: Where,
) -> anyhow::Result<()> {
    let platform = platform.map(Platform::parse).transpose()?;
    let board = Board::new(PULL, place);
    if reference.tag.is_none() && reference.digest.is_none() {
        board.say("Using default tag: latest");
    }
    let tag = reference.digest.as_deref().unwrap_or(reference.tag_or_latest());
    board.say(&format!("{tag}: Pulling from {}", reference.path));
    let (pulled, _) =
        engine.pull(reference, platform, &|hex, size, state| board.tell(hex, size, state))?;
    board.end();
    board.say(&format!("Digest: {}", pulled.digest));
    board.say(&match pulled.up_to_date {
        true => format!("Status: Image is up to date for {reference}"),
        false => format!("Status: Downloaded newer image for {reference}"),
    });
    Ok(())
}

/// With what people leave out: `docker.io/library/debian:latest`.
fn in_full(reference: &Reference) -> String {
    let Reference { domain, path, digest, .. } = reference;
    match digest {
        Some(digest) => format!("{domain}/{path}@{digest}"),
        None => format!("{domain}/{path}:{}", reference.tag_or_latest()),
    }
}
