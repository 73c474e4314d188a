//! `dockster ps` and `dockster rm`.

use ch05_lifecycle::{Record, Status};
use clap::Args;

use super::{ago, print};
use crate::engine::Engine;

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
    let row = |id: &str, image: &str, command: &str, created: &str, status: &str, name: &str| {
        format!("{id:<14} {image:<18} {command:<22} {created:<16} {status:<16} {name}\n")
    };
    let mut text = row("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES");
    for record in shown {
        let mut command = format!("\"{}\"", record.command.join(" "));
        if command.chars().count() > 22 {
            command = command.chars().take(20).chain("…\"".chars()).collect();
        }
        let (id, created) = (&record.id[..12], ago(record.created));
        text += &row(id, &record.image, &command, &created, &status(record), &record.name);
    }
    print(&text)
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
