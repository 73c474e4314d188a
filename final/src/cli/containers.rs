//! `dockster ps` and `dockster rm`.

use clap::Args;

use super::{ago, print, table};
use crate::engine::Engine;
use crate::engine::record::{Record, Status};

/// List containers
#[derive(Args, Debug)]
pub struct PsArgs {
    /// Also those that have ended
    #[arg(short, long)]
    all: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
}

/// Remove one or more containers
#[derive(Args, Debug)]
pub struct RmArgs {
    /// Kill it first if it runs
    #[arg(short, long)]
    force: bool,
    /// Names or ids
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Lists them as docker does.
pub fn ps(engine: &Engine, args: &PsArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    let all = engine.list()?;
    let shown = all.iter().filter(|record| args.all || record.status == Status::Running);
    if args.quiet {
        return print(&shown.map(|record| format!("{}\n", &record.id[..12])).collect::<String>());
    }
    let head = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES"];
    let mut rows = vec![head.map(str::to_owned)];
    for record in shown {
        let mut command = format!("\"{}\"", record.command.join(" "));
        if command.chars().count() > 22 {
            command = command.chars().take(20).chain("…\"".chars()).collect();
        }
        let id = record.id[..12].to_owned();
        let created = ago(record.created);
        rows.push([
            id,
            record.image.clone(),
            command,
            created,
            status(record),
            record.name.clone(),
        ]);
    }
    print(&table(&rows))
}

fn status(record: &Record) -> String {
    match (record.status, record.exit_code) {
        (Status::Creating, _) => "Created".to_owned(),
        (Status::Running, _) => "Up".to_owned(),
        (Status::Stopped, code) => format!("Exited ({})", code.unwrap_or_default()),
    }
}

/// Removes them; one that cannot be removed does not keep the others.
pub fn rm(engine: &Engine, args: &RmArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    let mut status = 0;
    for container in &args.containers {
        match engine.remove(container, args.force) {
            Ok(name) => drop(print(&format!("{name}\n"))?),
            Err(error) => {
                eprintln!("dockster: {error}");
                status = 1;
            }
        }
    }
    Ok(status)
}
