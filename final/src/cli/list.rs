//! `dockster ps`.

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::format::Format;
use super::live::decimal;
use super::{ago, port, print, span, table};
use crate::engine::Engine;
use crate::engine::health::HealthStatus;
use crate::engine::network::Place;
use crate::engine::record::{Record, Status};
use crate::shim::time::{SECOND, now};

/// List containers
#[derive(Args, Debug)]
pub struct PsArgs {
    /// Also those that do not run
    #[arg(short, long)]
    all: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// The newest so many, in any state
    #[arg(short = 'n', long, value_name = "NUMBER", allow_hyphen_values = true)]
    last: Option<i64>,
    /// The newest, in any state
    #[arg(short, long)]
    latest: bool,
    /// Only those with: id, name, label, status, exited, health, ancestor
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// `json`, a template, or `table` and a template
    #[arg(long)]
    format: Option<String>,
    /// Whole ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Also how much they have written, and how much that is with their images
    #[arg(short, long)]
    size: bool,
}

/// Lists them as docker does.
pub fn ps(engine: &Engine, args: &PsArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    let filters = Filters::parse(&args.filter)?;
    let last = if args.latest { Some(1) } else { args.last.filter(|n| *n >= 0) };
    let all = args.all || last.is_some() || filters.about_state();
    let records = engine.list()?;
    let shown = records
        .iter()
        .filter(|record| all || record.lives())
        .filter(|record| filters.take(record))
        .take(last.map_or(usize::MAX, |last| last as usize));
    if args.quiet && args.format.is_none() {
        let id = |r: &Record| if args.no_trunc { r.id.clone() } else { r.id[..12].to_owned() };
        return print(&shown.map(|record| id(record) + "\n").collect::<String>());
    }
    let places = engine.places()?;
    // It takes time: each file is looked at.
    let sized = args.size || args.format.as_deref().is_some_and(|text| text.contains(".Size"));
    let rows = shown.map(|record| {
        let mut row = row(record, &places, args.no_trunc);
        if sized {
            let (written, all) = (engine.written(record), engine.with_image(record));
            row["Size"] = format!("{} (virtual {})", decimal(written), decimal(all)).into();
        }
        row
    });
    match args.format.as_deref() {
        None | Some("table") if args.size => {
            let keys =
                ["ID", "Image", "Command", "CreatedSince", "Status", "Ports", "Names", "Size"];
            print(&standard(rows, keys))
        }
        None | Some("table") => print(&standard(
            rows,
            ["ID", "Image", "Command", "CreatedSince", "Status", "Ports", "Names"],
        )),
        Some("json") => print(&rows.map(|row| format!("{row}\n")).collect::<String>()),
        Some(template) => templated(rows, template, &headings()),
    }
}

fn standard<const N: usize>(rows: impl Iterator<Item = Value>, keys: [&str; N]) -> String {
    let cells = |row: Value| keys.map(|key| row[key].as_str().unwrap_or_default().to_owned());
    let lines: Vec<_> = std::iter::once(headings()).chain(rows).map(cells).collect();
    table(&lines)
}

/// A line a row, as a template says; after `table ` in columns under their headings.
pub fn templated(
    rows: impl Iterator<Item = Value>,
    template: &str,
    headings: &Value,
) -> anyhow::Result<u8> {
    let (with_head, template) = match template.strip_prefix("table ") {
        Some(rest) => (true, rest),
        None => (false, template),
    };
    let format = Format::parse(template)?;
    let mut lines = Vec::new();
    if with_head {
        lines.push(format.apply(headings)?);
    }
    for row in rows {
        lines.push(format.apply(&row)?);
    }
    if !with_head {
        return print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    }
    print(&super::columns(&lines))
}

fn headings() -> Value {
    json!({
        "ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "CreatedSince": "CREATED",
        "RunningFor": "CREATED", "CreatedAt": "CREATED AT", "Status": "STATUS", "State": "STATE",
        "Names": "NAMES", "Ports": "PORTS", "Labels": "LABELS", "Mounts": "MOUNTS",
        "Networks": "NETWORKS", "Size": "SIZE", "LocalVolumes": "LOCAL VOLUMES",
    })
}

/// A container's cells, by docker's names.
fn row(record: &Record, places: &[Place], whole: bool) -> Value {
    let mut command = record.command.join(" ");
    if !whole && command.chars().count() > 20 {
        command = command.chars().take(19).chain(['…']).collect();
    }
    let labels = record.plan.labels.iter().map(|(name, value)| format!("{name}={value}"));
    let mounts = record.plan.mounts.iter();
    let volumes = mounts.clone().filter_map(|point| point.name.clone());
    let binds = mounts.filter(|point| point.kind == "bind");
    let binds = binds.map(|point| point.source.display().to_string());
    json!({
        "ID": if whole { &record.id } else { &record.id[..12] },
        "Image": record.image,
        "Command": format!("\"{command}\""),
        "CreatedSince": ago(record.created / SECOND),
        "RunningFor": ago(record.created / SECOND),
        "CreatedAt": crate::shim::time::text(record.created),
        "Status": status(record),
        "State": state(record),
        "Names": record.name,
        "Ports": port::column(places, record),
        "Networks": port::networks(record).join(","),
        "Size": "0B",
        "LocalVolumes": volumes.clone().count().to_string(),
        "Mounts": volumes.chain(binds).collect::<Vec<_>>().join(","),
        "Labels": labels.collect::<Vec<_>>().join(","),
    })
}

/// Where it stands, in docker's word for it.
pub fn state(record: &Record) -> &'static str {
    match record.status {
        Status::Creating | Status::Created => "created",
        Status::Running if record.paused => "paused",
        Status::Running => "running",
        Status::Restarting => "restarting",
        Status::Stopped => "exited",
        Status::Removing => "removing",
    }
}

fn status(record: &Record) -> String {
    let code = record.exit_code.unwrap_or_default();
    let since = |time: u64| span(now().saturating_sub(time) / SECOND);
    match record.status {
        Status::Creating | Status::Created => "Created".to_owned(),
        Status::Running if record.paused => format!("Up {} (Paused)", since(record.started)),
        Status::Running => match &record.health {
            None => format!("Up {}", since(record.started)),
            Some(health) => {
                let starting = health.status == HealthStatus::Starting;
                let before = if starting { "health: " } else { "" };
                format!("Up {} ({before}{})", since(record.started), health.status.name())
            }
        },
        Status::Restarting => format!("Restarting ({code}) {} ago", since(record.finished)),
        Status::Stopped if record.finished == 0 => format!("Exited ({code})"),
        Status::Stopped => format!("Exited ({code}) {} ago", since(record.finished)),
        Status::Removing => "Removal In Progress".to_owned(),
    }
}

/// What a list is narrowed down by: of one name any value, of several names all.
pub struct Filters(Vec<(String, String)>);

impl Filters {
    /// Reads `NAME=VALUE`.
    pub fn parse(all: &[String]) -> anyhow::Result<Self> {
        let mut filters = Vec::new();
        for filter in all {
            let Some((name, value)) = filter.split_once('=') else {
                bail!(
                    "invalid argument \"{filter}\" for \"-f, --filter\" flag: invalid filter '{filter}'"
                );
            };
            let known = ["id", "name", "label", "status", "exited", "health", "ancestor", "until"];
            if !known.contains(&name) {
                bail!("invalid filter '{name}'");
            }
            filters.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self(filters))
    }

    fn about_state(&self) -> bool {
        self.0.iter().any(|(name, _)| name == "status" || name == "exited")
    }

    /// Whether a container is to be shown.
    pub fn take(&self, record: &Record) -> bool {
        let fits = |name: &str, value: &str| match name {
            "id" => record.id.starts_with(value),
            "name" => {
                let value = value.trim_start_matches(['^', '/']);
                match value.strip_suffix('$') {
                    Some(whole) => record.name == whole,
                    None => record.name.contains(value),
                }
            }
            "label" => match value.split_once('=') {
                Some((name, value)) => record.plan.labels.get(name).is_some_and(|v| v == value),
                None => record.plan.labels.contains_key(value),
            },
            "health" => {
                record.health.as_ref().map_or("none", |health| health.status.name()) == value
            }
            "status" => state(record) == value,
            "exited" => {
                record.status == Status::Stopped
                    && record.exit_code.unwrap_or_default().to_string() == value
            }
            "ancestor" => {
                record.image == value
                    || record.image.strip_suffix(":latest") == Some(value)
                    || record.image_id.trim_start_matches("sha256:").starts_with(value)
            }
            "until" => crate::shim::time::parse(value).is_some_and(|time| record.created < time),
            _ => false,
        };
        self.0.iter().all(|(name, _)| {
            self.0.iter().any(|(other, value)| other == name && fits(other, value))
        })
    }
}
