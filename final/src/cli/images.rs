//! `dockster import`, `dockster load`, `dockster tag`, `dockster rmi`, `dockster image prune`.

use std::fs::File;
use std::io::{IsTerminal, Read, stdin};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ch06_images::build::change;
use ch06_images::{Imported, Recipe, Source};
use clap::Args;

use super::live::{confirmed, decimal};
use super::{image_list, print};
use crate::engine::Engine;
use crate::engine::commit::{Config, stop_signal};

/// Make an image of a tar archive or a directory
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// A tar archive (plain, gzip or zstd), a directory, or - for standard input
    source: String,
    /// The image's name, with a tag or without; if not said it has none
    name: Option<String>,
    /// What runs if no command is given, as in a Dockerfile: 'CMD ["sh"]'
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// A sentence for its history
    #[arg(short, long)]
    message: Option<String>,
}

/// Load images from an archive that docker, skopeo or podman has saved
#[derive(Args, Debug)]
pub struct LoadArgs {
    /// The archive, packed or not [default: standard input]
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Accepted: nothing is said but what was loaded
    #[arg(short, long)]
    quiet: bool,
}

/// Remove one or more images
#[derive(Args, Debug)]
pub struct RmiArgs {
    /// Also an image that a stopped container was made of
    #[arg(short, long)]
    force: bool,
    /// Names or ids
    #[arg(required = true)]
    images: Vec<String>,
}

/// Give an image one more name
#[derive(Args, Debug)]
pub struct TagArgs {
    /// The image: a name or an id
    source: String,
    /// Its new name, with a tag or without
    target: String,
}

/// Remove images that have no name, and that no container uses
#[derive(Args, Debug)]
pub struct PruneArgs {
    /// Also those that have a name
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only those with: label, until
    #[arg(long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
}

/// Names it.
pub fn tag(engine: &Engine, args: &TagArgs) -> anyhow::Result<u8> {
    engine.store().tag_image(&args.source, &args.target)?;
    Ok(0)
}

/// Removes them, and says what that has given.
pub fn prune(engine: &Engine, args: &PruneArgs) -> anyhow::Result<u8> {
    let what = match args.all {
        true => "all images without at least one container associated to them",
        false => "all dangling images",
    };
    if !args.force && !confirmed(&format!("WARNING! This will remove {what}."))? {
        return Ok(0);
    }
    engine.sweep()?;
    let (text, space) = pruned(engine, args.all, &args.filter)?;
    print(&format!("{text}Total reclaimed space: {}\n", decimal(space)))
}

/// Removes them: what was removed, and how much that was.
pub fn pruned(engine: &Engine, all: bool, filters: &[String]) -> anyhow::Result<(String, u64)> {
    let filters = image_list::Filters::parse(filters, &["label", "until", "dangling"])?;
    let records = engine.list()?;
    let before = engine.store().size()?;
    let mut lines = String::new();
    for image in engine.store().images()? {
        let used = records.iter().any(|record| record.image_id == image.id);
        if used || !(all || image.name.is_none()) || !filters.take(&image) {
            continue;
        }
        // One that a container uses since a moment ago stays.
        if let Ok(removed) = engine.remove_image(image.name.as_deref().unwrap_or(&image.id), false)
        {
            lines.extend(removed.untagged.iter().map(|name| format!("untagged: {name}\n")));
            lines.extend(removed.deleted.iter().map(|id| format!("deleted: {id}\n")));
        }
    }
    let space = before.saturating_sub(engine.store().size()?);
    // Of pulls that did not come to their end.
    let space = space + engine.store().forget_downloads()?;
    let text = if lines.is_empty() { lines } else { format!("Deleted Images:\n{lines}\n") };
    Ok((text, space))
}

/// Loads them, and says which, as docker does.
pub fn load(engine: &Engine, args: &LoadArgs) -> anyhow::Result<u8> {
    let images = match &args.input {
        Some(path) => {
            let archive = File::open(path).with_context(|| format!("open {path:?}"))?;
            engine.store().load_archive(archive)?
        }
        None if stdin().is_terminal() => {
            bail!("requested load from stdin, but stdin is empty")
        }
        None => engine.store().load_archive(stdin().lock())?,
    };
    let lines = images.iter().map(|image| match &image.name {
        Some(name) => format!("Loaded image: {name}\n"),
        None => format!("Loaded image ID: {}\n", image.id),
    });
    print(&lines.collect::<String>())
}

/// Imports, and prints the new image's id.
pub fn import(engine: &Engine, args: ImportArgs) -> anyhow::Result<u8> {
    let mut config = Config::new();
    change(&mut config, &args.change)?;
    stop_signal(&config)?;
    let recipe = Recipe { config, message: args.message, ..Recipe::default() };
    let (path, name) = (Path::new(&args.source), args.name.as_deref());
    let imported = if args.source == "-" {
        engine.import(Source::Archive(&mut stdin().lock()), name, &recipe)?
    } else if path.is_dir() {
        engine.import(Source::Directory(path), name, &recipe)?
    } else {
        let mut archive = File::open(path).with_context(|| format!("open {:?}", args.source))?;
        engine.import(Source::Archive(&mut archive as &mut dyn Read), name, &recipe)?
    };
    say_what_is_missing(&imported);
    print(&format!("{}\n", imported.image.id))
}

/// What an ordinary user cannot have is said once, and not with every file.
fn say_what_is_missing(imported: &Imported) {
    let summary = &imported.summary;
    if summary.owners_flattened > 0 {
        eprintln!(
            "dockster: {} files belong to ids that do not exist here: root has them now\n  \
             more ids take ranges in /etc/subuid and /etc/subgid (see `dockster doctor`)",
            summary.owners_flattened
        );
    }
    if summary.devices_skipped > 0 {
        eprintln!(
            "dockster: {} devices were left out: only root may make them",
            summary.devices_skipped
        );
    }
    if summary.attributes_skipped > 0 {
        eprintln!("dockster: {} extended attributes were refused", summary.attributes_skipped);
    }
}

/// Removes them; one that cannot be removed does not keep the others.
pub fn rmi(engine: &Engine, args: &RmiArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    let mut status = 0;
    for image in &args.images {
        match engine.remove_image(image, args.force) {
            Ok(removed) => {
                let untagged = removed.untagged.iter().map(|name| format!("Untagged: {name}\n"));
                let deleted = removed.deleted.iter().map(|id| format!("Deleted: {id}\n"));
                print(&untagged.chain(deleted).collect::<String>())?;
            }
            Err(error) => {
                eprintln!("dockster: {error}");
                status = 1;
            }
        }
    }
    Ok(status)
}
