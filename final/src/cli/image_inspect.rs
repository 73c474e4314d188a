//! `dockster image inspect` and `dockster history`.

use ch06_images::{Image, time};
use clap::Args;
use serde_json::{Value, json};

use super::image_list::{short, standard, text};
use super::list::templated;
use super::live::decimal;
use super::{ago, inspect, print};
use crate::engine::Engine;

/// Print all that is known of one or more images
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// `json`, or a template: {{.Config.Cmd}}
    #[arg(short, long)]
    format: Option<String>,
    /// Names or ids
    #[arg(required = true)]
    images: Vec<String>,
}

/// Print how an image was made
#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// `json`, a template, or `table` and a template
    #[arg(long)]
    format: Option<String>,
    /// Sizes and times for people
    #[arg(short = 'H', long, default_value_t = true, default_missing_value = "true",
        num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set,
        hide_default_value = true)]
    human: bool,
    /// Whole ids and instructions
    #[arg(long)]
    no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// A name or an id
    image: String,
}

/// Prints it; of those that are not there a sentence each.
pub fn inspect(engine: &Engine, args: &InspectArgs) -> anyhow::Result<u8> {
    inspect::many(&args.images, args.format.as_deref(), |name| of(engine, name))
}

/// All that is known of one.
pub fn of(engine: &Engine, wanted: &str) -> anyhow::Result<Value> {
    let store = engine.store();
    let image = store.look(wanted)?;
    let all = store.images()?;
    let same: Vec<_> = all.iter().filter(|other| other.id == image.id).collect();
    let tags: Vec<_> = same.iter().filter_map(|other| other.name.as_deref()).collect();
    let mut digests: Vec<_> = tags.iter().map(|tag| at_digest(tag, &image.digest)).collect();
    // What was pulled by its digest has no tag.
    let nameless = same.iter().filter(|other| other.name.is_none());
    let nameless = nameless.filter_map(|other| Some((other.repository.as_ref()?, &other.digest)));
    digests.extend(nameless.map(|(repository, digest)| format!("{repository}@{digest}")));
    digests.dedup();
    let document = store.document(&image)?;
    let plain = |key: &str| document[key].as_str().unwrap_or_default().to_owned();
    let last = document["history"].as_array().and_then(|all| all.last()).cloned();
    Ok(json!({
        "Id": image.id,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Parent": "",
        "Comment": last.map_or(Value::Null, |last| last["comment"].clone()).as_str().unwrap_or(""),
        "Created": plain("created"),
        "DockerVersion": "",
        "Author": plain("author"),
        "Config": document["config"],
        "Architecture": plain("architecture"),
        "Variant": plain("variant"),
        "Os": plain("os"),
        "Size": same.first().map_or(0, |same| same.size),
        "GraphDriver": { "Data": layers(&image), "Name": "overlay2" },
        "RootFS": { "Type": "layers", "Layers": image.config.rootfs().diff_ids() },
        "Metadata": { "LastTagTime": "0001-01-01T00:00:00Z" },
    }))
}

fn at_digest(tag: &str, digest: &str) -> String {
    let repository = tag.rsplit_once(':').map_or(tag, |(repository, _)| repository);
    format!("{repository}@{digest}")
}

fn layers(image: &Image) -> Value {
    let paths: Vec<_> = image.layers.iter().map(|layer| layer.display().to_string()).collect();
    match paths.split_first() {
        Some((top, [])) => json!({ "UpperDir": top }),
        Some((top, below)) => json!({ "UpperDir": top, "LowerDir": below.join(":") }),
        None => json!({}),
    }
}

/// Prints it, the newest first.
pub fn history(engine: &Engine, args: &HistoryArgs) -> anyhow::Result<u8> {
    let image = engine.store().look(&args.image)?;
    let mut sizes = image.layer_sizes().into_iter();
    let mut rows = Vec::new();
    for made in image.config.history().iter().flatten() {
        let empty = made.empty_layer().unwrap_or(false);
        let size = if empty { 0 } else { sizes.next().unwrap_or(0) };
        let created = made.created().as_deref().and_then(time::from_text);
        let since = created.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let mut by = made.created_by().clone().unwrap_or_default();
        if !args.no_trunc && by.chars().count() > 45 {
            by = by.chars().take(44).chain(['…']).collect();
        }
        let stamp = made.created().clone().unwrap_or_else(|| "N/A".to_owned());
        let ago = since.map_or_else(|| "N/A".to_owned(), |since| ago(since.as_secs()));
        rows.push(json!({
            "ID": "<missing>",
            "CreatedSince": if args.human { ago } else { stamp.clone() },
            "CreatedAt": stamp,
            "CreatedBy": by.replace('\t', " "),
            "Size": if args.human { decimal(size) } else { size.to_string() },
            "Comment": made.comment().as_deref().unwrap_or(""),
        }));
    }
    rows.reverse();
    if let Some(first) = rows.first_mut() {
        first["ID"] = json!(if args.no_trunc { &image.id } else { short(&image.id) });
    }
    let rows = rows.into_iter();
    match args.format.as_deref() {
        None | Some("table") if args.quiet => {
            print(&rows.map(|row| text(&row, "ID") + "\n").collect::<String>())
        }
        None | Some("table") => {
            let keys = ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"];
            print(&standard(rows, keys, ["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"]))
        }
        Some("json") => print(&rows.map(|row| format!("{row}\n")).collect::<String>()),
        Some(template) => templated(rows, template, &headings()),
    }
}

fn headings() -> Value {
    json!({
        "ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT",
        "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT",
    })
}
