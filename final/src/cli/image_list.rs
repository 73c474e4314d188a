//! `dockster images` (or `image ls`): docker's columns, filters and templates.

use anyhow::bail;
use ch06_images::{Listed, name, time};
use clap::Args;
use serde_json::{Value, json};

use super::list::templated;
use super::live::decimal;
use super::{ago, print, table};
use crate::engine::Engine;

/// List images
#[derive(Args, Debug)]
pub struct ImagesArgs {
    /// Only those of this repository, or of this name
    repository: Option<String>,
    /// Also what others are made of (there is no such thing here)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Only those with: dangling, label, reference, before, since, until
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// `json`, a template, or `table` and a template
    #[arg(long)]
    format: Option<String>,
    /// Whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
}

/// Lists them as docker does.
pub fn images(engine: &Engine, args: &ImagesArgs) -> anyhow::Result<u8> {
    let known = ["dangling", "label", "reference", "before", "since", "until"];
    let mut filters = Filters::parse(&args.filter, &known)?;
    let mut all = engine.store().images()?;
    filters.look_up(&all)?;
    if let Some(wanted) = &args.repository {
        filters.0.push(("reference".to_owned(), wanted.clone()));
    }
    all.retain(|image| filters.take(image));
    // The newest first, as docker.
    all.sort_by_key(|image| std::cmp::Reverse(image.created));
    let rows = all.iter().map(|image| row(image, args.no_trunc));
    match args.format.as_deref() {
        None | Some("table") if args.quiet => {
            print(&rows.map(|row| text(&row, "ID") + "\n").collect::<String>())
        }
        None | Some("table") if args.digests => {
            let keys = ["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"];
            let head = ["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"];
            print(&standard(rows, keys, head))
        }
        None | Some("table") => {
            let keys = ["Repository", "Tag", "ID", "CreatedSince", "Size"];
            print(&standard(rows, keys, ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]))
        }
        Some("json") => print(&rows.map(|row| format!("{row}\n")).collect::<String>()),
        Some(template) => templated(rows, template, &headings()),
    }
}

/// Rows under a line of headings.
pub fn standard<const N: usize>(
    rows: impl Iterator<Item = Value>,
    keys: [&str; N],
    head: [&str; N],
) -> String {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows.map(|row| keys.map(|key| text(&row, key))));
    table(&lines)
}

/// A cell.
pub fn text(row: &Value, key: &str) -> String {
    row[key].as_str().unwrap_or_default().to_owned()
}

fn headings() -> Value {
    json!({
        "ID": "IMAGE ID", "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST",
        "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE",
    })
}

/// An image's cells, by docker's names.
fn row(image: &Listed, whole: bool) -> Value {
    let name = image.name.as_deref().and_then(|name| name.rsplit_once(':'));
    let (repository, tag) =
        name.unwrap_or((image.repository.as_deref().unwrap_or("<none>"), "<none>"));
    let seconds = created(image);
    json!({
        "Repository": repository,
        "Tag": tag,
        "ID": if whole { &image.id } else { short(&image.id) },
        "Digest": image.digest,
        "CreatedSince": seconds.map_or_else(|| "N/A".to_owned(), ago),
        "CreatedAt": image.created.map_or_else(|| "N/A".to_owned(), time::to_text),
        "Size": decimal(image.size),
        "VirtualSize": decimal(image.size),
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
        "Containers": "N/A",
    })
}

fn created(image: &Listed) -> Option<u64> {
    let since = image.created?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

/// The first digits of an id.
pub fn short(id: &str) -> &str {
    id.strip_prefix("sha256:").unwrap_or(id).get(..12).unwrap_or(id)
}

/// What a list is narrowed down by: of one name any value, of several names all.
pub struct Filters(Vec<(String, String)>);

impl Filters {
    /// Reads `NAME=VALUE`, whose names are those that are known.
    pub fn parse(all: &[String], known: &[&str]) -> anyhow::Result<Self> {
        let mut filters = Vec::new();
        for filter in all {
            let Some((name, value)) = filter.split_once('=') else {
                bail!(
                    "invalid argument \"{filter}\" for \"-f, --filter\" flag: invalid filter '{filter}'"
                );
            };
            if !known.contains(&name) {
                bail!("invalid filter '{name}'");
            }
            filters.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self(filters))
    }

    /// `before` and `since` name an image, and mean its time.
    fn look_up(&mut self, all: &[Listed]) -> anyhow::Result<()> {
        for (name, value) in &mut self.0 {
            if name == "before" || name == "since" {
                let full = name::for_tagging(value).unwrap_or_default();
                let hex = value.strip_prefix("sha256:").unwrap_or(value);
                let other = all.iter().find(|image| {
                    image.name.as_deref() == Some(&full)
                        || image.id["sha256:".len()..].starts_with(hex)
                });
                let Some(other) = other else { bail!("No such image: {value}") };
                *value = created(other).unwrap_or(0).to_string();
            }
        }
        Ok(())
    }

    /// Whether an image is to be shown.
    pub fn take(&self, image: &Listed) -> bool {
        let time = created(image).unwrap_or(0);
        let fits = |name: &str, value: &str| match name {
            "dangling" => matches!(value, "true" | "1") == image.name.is_none(),
            "label" => match value.split_once('=') {
                Some((name, value)) => image.labels.get(name).is_some_and(|v| v == value),
                None => image.labels.contains_key(value),
            },
            "reference" => {
                let name = image.name.as_deref().or(image.repository.as_deref());
                name.is_some_and(|name| refers(value, name))
            }
            "before" => value.parse().is_ok_and(|other: u64| time < other),
            "since" => value.parse().is_ok_and(|other: u64| time > other),
            "until" => {
                let until = crate::shim::time::parse(value);
                until.is_some_and(|until| time < until / crate::shim::time::SECOND)
            }
            _ => false,
        };
        self.0.iter().all(|(name, _)| {
            self.0.iter().any(|(other, value)| other == name && fits(other, value))
        })
    }
}

/// A pattern is one of the whole name, or of the name without its tag.
fn refers(pattern: &str, name: &str) -> bool {
    let short = pattern.strip_prefix("docker.io/").unwrap_or(pattern);
    let short = short.strip_prefix("library/").unwrap_or(short);
    let repository = name.rsplit_once(':').map_or(name, |(repository, _)| repository);
    matches(short.as_bytes(), name.as_bytes()) || matches(short.as_bytes(), repository.as_bytes())
}

/// `*` and `?` as in a shell: neither is a slash.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            matches(rest, text)
                || matches!(text, [first, more @ ..] if *first != b'/' && matches(pattern, more))
        }
        ([b'?', rest @ ..], [first, more @ ..]) => *first != b'/' && matches(rest, more),
        ([a, rest @ ..], [b, more @ ..]) => a == b && matches(rest, more),
        _ => false,
    }
}
