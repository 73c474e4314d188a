//! Catalogue: not needed to understand the chapter.
//!
//! `state` and `list`: how containers stand.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ch01_clone::{Error, Result};
use serde::Serialize;

use super::args::Args;
use super::{Cli, print, time, words};
use crate::{Container, Status};

/// The state of the specification, and what runc adds to it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    oci_version: String,
    id: String,
    pid: i32,
    status: Status,
    bundle: PathBuf,
    rootfs: PathBuf,
    created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    owner: String,
}

impl Shown {
    fn of(container: &Container<'_>, owner: String) -> Result<Self> {
        let state = container.state()?;
        let spec = container.spec()?;
        let root = spec.root().as_ref().map_or(Path::new(""), |root| root.path());
        Ok(Self {
            rootfs: state.bundle.join(root),
            created: time::to_the_nanosecond(container.created()?),
            oci_version: state.oci_version,
            id: state.id,
            pid: if state.status == Status::Stopped { 0 } else { state.pid },
            status: state.status,
            bundle: state.bundle,
            annotations: state.annotations.into_iter().collect(),
            owner,
        })
    }
}

pub(super) fn state(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    let runtime = cli.runtime()?;
    let container = runtime.open(args.id()?)?;
    // runc leaves the owner empty here; `list` knows it.
    let shown = Shown::of(&container, String::new())?;
    print(&json(serde_json::to_string_pretty(&shown))?)
}

pub(super) fn list(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    let json_wanted = json_wanted(args)?;
    let runtime = cli.runtime()?;
    let ids = runtime.ids()?;
    if args.has("quiet") {
        return print(&ids.iter().map(|id| format!("{id}\n")).collect::<String>());
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut all = Vec::new();
    for id in &ids {
        let shown = runtime
            .open(id)
            .and_then(|container| Shown::of(&container, owner(&users, container.owner()?)));
        match shown {
            Ok(shown) => all.push(shown),
            // One that is just being removed must not hide the others.
            Err(error) => {
                let why = words::sentence(&error);
                let _ = writeln!(std::io::stderr(), "load container {id}: {why}");
            }
        }
    }
    match json_wanted {
        // What Go prints for a list that nothing was ever put into.
        true if all.is_empty() => print("null\n"),
        true => print(&json(serde_json::to_string(&all))?),
        false => print(&table(&all)),
    }
}

/// Whether `--format` says JSON.
pub(super) fn json_wanted(args: &Args) -> Result<bool> {
    match args.value("format").map(|format| format.to_str()) {
        None | Some(Some("table")) => Ok(false),
        Some(Some("json")) => Ok(true),
        _ => Err(Error::new("invalid format option")),
    }
}

/// A line of JSON.
pub(super) fn json(text: serde_json::Result<String>) -> Result<String> {
    text.map(|text| text + "\n").map_err(|error| Error::new(error.to_string()))
}

/// The name of a uid, or `#1234`. Read from the file: no library of the host's
/// is loaded for a name.
fn owner(users: &str, uid: u32) -> String {
    let uid = uid.to_string();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("#{uid}"))
}

/// Columns of twelve at least, with three spaces between.
fn table(all: &[Shown]) -> String {
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(String::from)];
    rows.extend(all.iter().map(|shown| {
        let status = shown.status.to_string();
        let bundle = shown.bundle.display().to_string();
        let pid = shown.pid.to_string();
        [shown.id.clone(), pid, status, bundle, shown.created.clone(), shown.owner.clone()]
    }));
    let width = |column: usize| {
        let longest = rows.iter().map(|row| row[column].chars().count()).max();
        (longest.unwrap_or(0) + 3).max(12)
    };
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(&format!("{cell:width$}"));
        }
        text.push_str(&row[5]);
        text.push('\n');
    }
    text
}
