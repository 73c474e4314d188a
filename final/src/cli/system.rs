//! `dockster system df` and `dockster system prune`.

use std::collections::HashSet;

use clap::Args;
use serde_json::{Value, json};

use super::image_list::standard;
use super::list::{Filters, templated};
use super::live::{confirmed, decimal};
use super::{images, live, print, volumes};
use crate::engine::Engine;

/// Print what is kept, and what it takes
#[derive(Args, Debug)]
pub struct DfArgs {
    /// `json`, a template, or `table` and a template
    #[arg(long)]
    format: Option<String>,
}

/// Remove all that is not in use
#[derive(Args, Debug)]
pub struct PruneArgs {
    /// Also images that have a name
    #[arg(short, long)]
    all: bool,
    /// Also nameless volumes
    #[arg(long)]
    volumes: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only those with: label, until
    #[arg(long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
}

/// Prints it.
pub fn df(engine: &Engine, args: &DfArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    let rows = vec![images_row(engine)?, containers_row(engine)?, volumes_row(engine)?];
    let rows = rows.into_iter();
    match args.format.as_deref() {
        None | Some("table") => {
            let keys = ["Type", "TotalCount", "Active", "Size", "Reclaimable"];
            print(&standard(rows, keys, ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]))
        }
        Some("json") => print(&rows.map(|row| format!("{row}\n")).collect::<String>()),
        Some(template) => {
            let head = json!({
                "Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE",
                "Reclaimable": "RECLAIMABLE",
            });
            templated(rows, template, &head)
        }
    }
}

fn row(kind: &str, total: usize, active: usize, size: u64, free: u64) -> Value {
    let share = (free * 100).checked_div(size);
    let share = share.map_or_else(String::new, |percent| format!(" ({percent}%)"));
    json!({
        "Type": kind,
        "TotalCount": total.to_string(),
        "Active": active.to_string(),
        "Size": decimal(size),
        "Reclaimable": format!("{}{share}", decimal(free)),
    })
}

fn images_row(engine: &Engine) -> anyhow::Result<Value> {
    let used: HashSet<String> = engine.list()?.into_iter().map(|record| record.image_id).collect();
    let mut seen = HashSet::new();
    let (mut active, mut needed) = (0, 0);
    for image in engine.store().images()? {
        if seen.insert(image.id.clone()) && used.contains(&image.id) {
            active += 1;
            needed += image.size;
        }
    }
    let size = engine.store().size()?;
    Ok(row("Images", seen.len(), active, size, size.saturating_sub(needed)))
}

fn containers_row(engine: &Engine) -> anyhow::Result<Value> {
    let records = engine.list()?;
    let (mut active, mut size, mut free) = (0, 0, 0);
    for record in &records {
        let written = engine.written(record);
        size += written;
        match record.lives() {
            true => active += 1,
            false => free += written,
        }
    }
    Ok(row("Containers", records.len(), active, size, free))
}

fn volumes_row(engine: &Engine) -> anyhow::Result<Value> {
    let all = engine.volumes()?;
    let (mut active, mut size, mut free) = (0, 0, 0);
    for volume in &all {
        let own = engine.volume_size(&volume.name);
        size += own;
        match engine.users_of(&volume.name)? {
            0 => free += own,
            _ => active += 1,
        }
    }
    Ok(row("Local Volumes", all.len(), active, size, free))
}

/// Removes containers first, then what they used.
pub fn prune(engine: &Engine, args: &PruneArgs) -> anyhow::Result<u8> {
    let mut warning = "WARNING! This will remove:\n  - all stopped containers\n".to_owned();
    if args.volumes {
        warning += "  - all anonymous volumes not used by at least one container\n";
    }
    warning += match args.all {
        true => "  - all images without at least one container associated to them\n",
        false => "  - all dangling images\n",
    };
    warning += "  - all build cache\n";
    if !args.force && !confirmed(&warning)? {
        return Ok(0);
    }
    let filters = Filters::parse(&args.filter)?;
    engine.sweep()?;
    let mut done = vec![live::pruned(engine, &filters)?];
    if args.volumes {
        done.push(volumes::pruned(engine, false, &[])?);
    }
    done.push((String::new(), super::build::pruned(engine)?));
    done.push(images::pruned(engine, args.all, &args.filter)?);
    let space = done.iter().map(|(_, space)| space).sum();
    let all: String = done.into_iter().map(|(text, _)| text).collect();
    print(&format!("{all}Total reclaimed space: {}\n", decimal(space)))
}
