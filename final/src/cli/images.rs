//! `dockster import`, `dockster images`, `dockster rmi`.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;

use anyhow::{Context as _, bail};
use ch06_images::{Imported, Recipe, Source};
use clap::Args;
use oci_spec::image::Config;

use super::{ago, print, table};
use crate::engine::Engine;

/// Make an image of a tar archive or a directory
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// A tar archive (plain, gzip or zstd), a directory, or - for standard input
    source: String,
    /// The image's name, with a tag or without
    name: String,
    /// What runs if no command is given, as in a Dockerfile: 'CMD ["sh"]'
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// A sentence for its history
    #[arg(short, long)]
    message: Option<String>,
}

/// List images
#[derive(Args, Debug)]
pub struct ImagesArgs {
    /// Only ids
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

/// Imports, and prints the new image's id.
pub fn import(engine: &Engine, args: ImportArgs) -> anyhow::Result<u8> {
    let mut config = Config::default();
    for instruction in &args.change {
        change(&mut config, instruction)?;
    }
    let recipe = Recipe { config, message: args.message, ..Recipe::default() };
    let path = Path::new(&args.source);
    let imported = if args.source == "-" {
        engine.import(Source::Archive(&mut stdin().lock()), &args.name, &recipe)?
    } else if path.is_dir() {
        engine.import(Source::Directory(path), &args.name, &recipe)?
    } else {
        let mut archive = File::open(path).with_context(|| format!("open {:?}", args.source))?;
        engine.import(Source::Archive(&mut archive as &mut dyn Read), &args.name, &recipe)?
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

/// The instructions of a Dockerfile that make sense without a build.
fn change(config: &mut Config, instruction: &str) -> anyhow::Result<()> {
    let (word, rest) =
        instruction.trim().split_once(char::is_whitespace).unwrap_or((instruction, ""));
    let rest = rest.trim();
    match word.to_ascii_uppercase().as_str() {
        "CMD" => drop(config.set_cmd(Some(words(rest)?))),
        "ENTRYPOINT" => drop(config.set_entrypoint(Some(words(rest)?))),
        "USER" => drop(config.set_user(Some(rest.to_owned()))),
        "WORKDIR" => drop(config.set_working_dir(Some(rest.to_owned()))),
        "ENV" if rest.contains('=') => {
            let mut env = config.env().clone().unwrap_or_default();
            env.push(rest.to_owned());
            config.set_env(Some(env));
        }
        _ => bail!(
            "{instruction:?} is not a valid change: CMD, ENTRYPOINT, ENV NAME=VALUE, USER or WORKDIR"
        ),
    }
    Ok(())
}

/// The exec form is a JSON list; the shell form runs in `/bin/sh -c`.
fn words(text: &str) -> anyhow::Result<Vec<String>> {
    match text.starts_with('[') {
        true => {
            serde_json::from_str(text).with_context(|| format!("{text:?} is not a list of strings"))
        }
        false => Ok(["/bin/sh", "-c", text].map(str::to_owned).to_vec()),
    }
}

/// Lists them as docker does.
pub fn images(engine: &Engine, args: &ImagesArgs) -> anyhow::Result<u8> {
    let all = engine.store().images()?;
    if args.quiet {
        return print(
            &all.iter().map(|image| format!("{}\n", short(&image.id))).collect::<String>(),
        );
    }
    let mut rows = vec![["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"].map(str::to_owned)];
    for image in all {
        let name = image.name.as_deref().unwrap_or("<none>:<none>");
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "<none>"));
        let created =
            image.created.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let created = created.map_or_else(|| "N/A".to_owned(), |time| ago(time.as_secs()));
        let id = short(&image.id).to_owned();
        rows.push([repository.to_owned(), tag.to_owned(), id, created, size(image.size)]);
    }
    print(&table(&rows))
}

fn short(id: &str) -> &str {
    id.strip_prefix("sha256:").unwrap_or(id).get(..12).unwrap_or(id)
}

/// Decimal, with three digits, as docker.
pub(super) fn size(bytes: u64) -> String {
    let (mut number, mut unit) = (bytes as f64, "B");
    for next in ["kB", "MB", "GB", "TB"] {
        if number < 1000.0 {
            break;
        }
        (number, unit) = (number / 1000.0, next);
    }
    let digits = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
    match unit {
        "B" => format!("{bytes}B"),
        _ => format!("{number:.digits$}{unit}"),
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
