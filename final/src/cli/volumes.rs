//! `dockster volume`.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::image_list::{standard, text};
use super::list::templated;
use super::live::{confirmed, decimal};
use super::{inspect, print};
use crate::engine::Engine;
use crate::engine::volumes::Volume;
use crate::shim::time;

/// What is done to volumes
#[derive(Subcommand)]
pub enum VolumeCommand {
    /// Make a volume
    Create(CreateArgs),
    /// List volumes
    #[command(alias = "list")]
    Ls(LsArgs),
    /// Print all that is known of one or more volumes
    Inspect(InspectArgs),
    /// Remove one or more volumes that no container uses
    #[command(alias = "remove")]
    Rm(RmArgs),
    /// Remove volumes that no container uses
    Prune(PruneArgs),
}

/// Make a volume
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Its name, if not one that is made up
    name: Option<String>,
    /// Label it: NAME=VALUE
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// Who keeps it: local
    #[arg(short, long, value_name = "DRIVER", default_value = "local", hide_default_value = true)]
    driver: String,
}

/// List volumes
#[derive(Args, Debug)]
pub struct LsArgs {
    /// Only those with: dangling, driver, label, name
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// `json`, a template, or `table` and a template
    #[arg(long)]
    format: Option<String>,
    /// Only names
    #[arg(short, long)]
    quiet: bool,
}

/// Print all that is known of one or more volumes
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// `json`, or a template: {{.Mountpoint}}
    #[arg(short, long)]
    format: Option<String>,
    /// Names
    #[arg(required = true)]
    volumes: Vec<String>,
}

/// Remove one or more volumes that no container uses
#[derive(Args, Debug)]
pub struct RmArgs {
    /// One that is not there is as it should be
    #[arg(short, long)]
    force: bool,
    /// Names
    #[arg(required = true)]
    volumes: Vec<String>,
}

/// Remove volumes that no container uses
#[derive(Args, Debug)]
pub struct PruneArgs {
    /// Also those that have a name
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only those with: label
    #[arg(long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
}

/// Does it.
pub fn volume(engine: &Engine, command: &VolumeCommand) -> anyhow::Result<u8> {
    engine.sweep()?;
    match command {
        VolumeCommand::Create(args) => create(engine, args),
        VolumeCommand::Ls(args) => ls(engine, args),
        VolumeCommand::Inspect(args) => {
            inspect::many(&args.volumes, args.format.as_deref(), |name| {
                Ok(described(engine, &engine.volume(name)?))
            })
        }
        VolumeCommand::Rm(args) => rm(engine, args),
        VolumeCommand::Prune(args) => prune(engine, args),
    }
}

fn create(engine: &Engine, args: &CreateArgs) -> anyhow::Result<u8> {
    if args.driver != "local" {
        bail!("error looking up volume plugin {0}: plugin \"{0}\" not found", args.driver);
    }
    let labels = args.label.iter().map(|label| label.split_once('=').unwrap_or((label, "")));
    let labels: BTreeMap<_, _> =
        labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let volume = engine.create_volume(args.name.as_deref(), labels)?;
    print(&format!("{}\n", volume.name))
}

fn ls(engine: &Engine, args: &LsArgs) -> anyhow::Result<u8> {
    let filters = filters(&args.filter, &["dangling", "driver", "label", "name"])?;
    let mut rows = Vec::new();
    for volume in engine.volumes()? {
        let used = engine.users_of(&volume.name)? > 0;
        let fits = |name: &str, value: &str| match name {
            "dangling" => matches!(value, "true" | "1") != used,
            "driver" => value == "local",
            "name" => volume.name.contains(value),
            _ => labelled(&volume, value),
        };
        if filters.iter().all(|(name, value)| fits(name, value)) {
            rows.push(row(engine, &volume));
        }
    }
    let rows = rows.into_iter();
    match args.format.as_deref() {
        None | Some("table") if args.quiet => {
            print(&rows.map(|row| text(&row, "Name") + "\n").collect::<String>())
        }
        None | Some("table") => {
            print(&standard(rows, ["Driver", "Name"], ["DRIVER", "VOLUME NAME"]))
        }
        Some("json") => print(&rows.map(|row| format!("{row}\n")).collect::<String>()),
        Some(template) => templated(rows, template, &headings()),
    }
}

fn headings() -> Value {
    json!({
        "Driver": "DRIVER", "Name": "VOLUME NAME", "Mountpoint": "MOUNTPOINT", "Scope": "SCOPE",
        "Labels": "LABELS",
    })
}

fn row(engine: &Engine, volume: &Volume) -> Value {
    let labels: Vec<_> =
        volume.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({
        "Driver": "local",
        "Name": volume.name,
        "Mountpoint": engine.volume_data(&volume.name),
        "Scope": "local",
        "Labels": labels.join(","),
    })
}

fn described(engine: &Engine, volume: &Volume) -> Value {
    let mut labels = json!(volume.labels);
    if volume.anonymous {
        labels["com.docker.volume.anonymous"] = json!("");
    }
    json!({
        "CreatedAt": time::text(volume.created),
        "Driver": "local",
        "Labels": labels,
        "Mountpoint": engine.volume_data(&volume.name),
        "Name": volume.name,
        "Options": null,
        "Scope": "local",
    })
}

fn rm(engine: &Engine, args: &RmArgs) -> anyhow::Result<u8> {
    let mut status = 0;
    for name in &args.volumes {
        match engine.remove_volume(name, None) {
            Err(error) if args.force && error.call.ends_with("no such volume") => {}
            Err(error) => {
                eprintln!("dockster: {error}");
                status = 1;
            }
            Ok(()) => drop(print(&format!("{name}\n"))?),
        }
    }
    Ok(status)
}

fn prune(engine: &Engine, args: &PruneArgs) -> anyhow::Result<u8> {
    let what = match args.all {
        true => "all local volumes not used by at least one container",
        false => "anonymous local volumes not used by at least one container",
    };
    if !args.force && !confirmed(&format!("WARNING! This will remove {what}."))? {
        return Ok(0);
    }
    let (text, space) = pruned(engine, args.all, &args.filter)?;
    print(&format!("{text}Total reclaimed space: {}\n", decimal(space)))
}

/// Removes them: what was removed, and how much that was.
pub fn pruned(engine: &Engine, all: bool, filter: &[String]) -> anyhow::Result<(String, u64)> {
    let filters = filters(filter, &["label"])?;
    let (mut lines, mut space) = (String::new(), 0);
    for volume in engine.volumes()? {
        let fits = filters.iter().all(|(_, value)| labelled(&volume, value));
        if !fits || !(all || volume.anonymous) {
            continue;
        }
        let size = engine.volume_size(&volume.name);
        // One that a container uses stays.
        if engine.remove_volume(&volume.name, None).is_ok() {
            lines += &format!("{}\n", volume.name);
            space += size;
        }
    }
    let text = if lines.is_empty() { lines } else { format!("Deleted Volumes:\n{lines}\n") };
    Ok((text, space))
}

fn labelled(volume: &Volume, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((name, value)) => volume.labels.get(name).is_some_and(|v| v == value),
        None => volume.labels.contains_key(wanted),
    }
}

fn filters<'a>(all: &'a [String], known: &[&str]) -> anyhow::Result<Vec<(&'a str, &'a str)>> {
    let mut filters = Vec::new();
    for filter in all {
        match filter.split_once('=') {
            Some((name, value)) if known.contains(&name) => filters.push((name, value)),
            _ => bail!("invalid filter '{filter}'"),
        }
    }
    Ok(filters)
}
