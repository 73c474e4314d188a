//! `dockster top`, `stats`, `events`, `diff` and `container prune`: looks at what is there.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ch03_cgroups::Stats;
use clap::Args;
use serde_json::{Value, json};

use super::format::Format;
use super::list::Filters;
use super::{print, table};
use crate::engine::Engine;
use crate::engine::events::Event;
use crate::engine::record::{Record, Status};
use crate::shim::time;

/// Print the processes of a container
#[derive(Args, Debug)]
#[command(override_usage = "dockster top CONTAINER [ps OPTIONS]")]
pub struct TopArgs {
    /// Its name or id, and then options for ps(1) [default: -ef]
    #[arg(required = true, trailing_var_arg = true, value_name = "CONTAINER")]
    words: Vec<String>,
}

/// As ps(1) of the host has them.
pub fn top(engine: &Engine, args: &TopArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    let (container, options) = args.words.split_first().context("no container")?;
    let id = engine.find(container)?;
    let record = engine.known(&id, container)?;
    if record.status != Status::Running {
        bail!("container {id} is not running");
    }
    let pids: BTreeSet<i32> = engine.processes(&record)?.into_iter().collect();
    let default = ["-ef".to_owned()];
    let options = if options.is_empty() { &default } else { options };
    let output = Command::new("ps").args(options).output().context("ps")?;
    if !output.status.success() {
        bail!("ps: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let Some(column) = head.split_whitespace().position(|word| word == "PID") else {
        bail!("Couldn't find PID field in ps output");
    };
    let count = head.split_whitespace().count();
    let cells = |line: &str| {
        let mut rest = line.trim_start();
        let mut cells = Vec::new();
        // The last column may hold spaces.
        while cells.len() + 1 < count
            && let Some((word, after)) = rest.split_once(char::is_whitespace)
        {
            cells.push(word.to_owned());
            rest = after.trim_start();
        }
        cells.push(rest.trim_end().to_owned());
        cells
    };
    let inside = |cells: &Vec<String>| {
        cells.get(column).and_then(|pid| pid.parse().ok()).is_some_and(|pid| pids.contains(&pid))
    };
    let rows = lines.map(cells).filter(inside);
    let rows: Vec<_> = std::iter::once(cells(head)).chain(rows).map(|row| row.join("\t")).collect();
    print(&super::columns(&rows))
}

/// Print what containers use
#[derive(Args, Debug)]
pub struct StatsArgs {
    /// Also those that do not run
    #[arg(short, long)]
    all: bool,
    /// Once, and not again each second
    #[arg(long)]
    no_stream: bool,
    /// `json`, a template, or `table` and a template
    #[arg(long)]
    format: Option<String>,
    /// Whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Names or ids [default: all that run]
    containers: Vec<String>,
}

/// Prints it, once or each second.
pub fn stats(engine: &Engine, args: &StatsArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    let mut wanted = Vec::new();
    for name in &args.containers {
        wanted.push(engine.find(name)?);
    }
    let mut before = Vec::new();
    loop {
        let mut records = engine.list()?;
        records.retain(|record| match wanted.is_empty() {
            true => args.all || record.lives(),
            false => wanted.contains(&record.id),
        });
        let looks: Vec<_> = records.iter().map(|record| Look::at(engine, record)).collect();
        if before.is_empty() && !looks.is_empty() {
            // A share of the processors takes two looks.
            before = looks;
            std::thread::sleep(Duration::from_millis(500));
            continue;
        }
        let rows: Vec<Value> = looks
            .iter()
            .zip(&records)
            .map(|(look, record)| {
                let earlier = before.iter().find(|other: &&Look| other.id == look.id);
                look.row(record, earlier, args.no_trunc)
            })
            .collect();
        let text = shown(&rows, args.format.as_deref())?;
        if args.no_stream {
            return print(&text);
        }
        let mut out = stdout().lock();
        let drawn = out.write_all(format!("\x1b[2J\x1b[H{text}").as_bytes());
        if drawn.and_then(|()| out.flush()).is_err() {
            return Ok(0);
        }
        drop(out);
        before = looks;
        std::thread::sleep(Duration::from_secs(1));
        engine.sweep()?;
    }
}

fn shown(rows: &[Value], format: Option<&str>) -> anyhow::Result<String> {
    let keys = ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];
    match format {
        Some("json") => Ok(rows.iter().map(|row| format!("{row}\n")).collect()),
        Some(template) if !template.starts_with("table") => {
            let format = Format::parse(template)?;
            let lines = rows.iter().map(|row| Ok(format.apply(row)? + "\n"));
            lines.collect()
        }
        _ => {
            let head = [
                "CONTAINER ID",
                "NAME",
                "CPU %",
                "MEM USAGE / LIMIT",
                "MEM %",
                "NET I/O",
                "BLOCK I/O",
                "PIDS",
            ];
            let mut lines = vec![head.map(str::to_owned)];
            let cell = |row: &Value, key| row[key].as_str().unwrap_or_default().to_owned();
            lines.extend(rows.iter().map(|row| keys.map(|key| cell(row, key))));
            Ok(table(&lines))
        }
    }
}

/// What a container has used so far, at one moment.
struct Look {
    id: String,
    at: Instant,
    stats: Option<Stats>,
}

impl Look {
    fn at(engine: &Engine, record: &Record) -> Self {
        let cgroup = engine.cgroup_of(record).ok().flatten().filter(|_| record.lives());
        let stats = cgroup.and_then(|cgroup| cgroup.stats().ok());
        Self { id: record.id.clone(), at: Instant::now(), stats }
    }

    fn row(&self, record: &Record, before: Option<&Look>, whole: bool) -> Value {
        let id = if whole { &record.id } else { &record.id[..12] };
        let Some(stats) = &self.stats else {
            return json!({ "ID": id, "Container": id, "Name": record.name, "CPUPerc": "--",
                "MemUsage": "-- / --", "MemPerc": "--", "NetIO": "--", "BlockIO": "--", "PIDs": "--" });
        };
        let earlier = before.and_then(|look| Some((look.at, look.stats.as_ref()?)));
        let share = earlier.map_or(0.0, |(at, old)| {
            let used = stats.cpu_usec.saturating_sub(old.cpu_usec) as f64;
            100.0 * used / self.at.duration_since(at).as_micros().max(1) as f64
        });
        let memory = stats.memory.saturating_sub(stats.memory_inactive_file);
        let limit = stats.memory_limit.unwrap_or_else(machine).min(machine());
        json!({
            "ID": id,
            "Container": id,
            "Name": record.name,
            "CPUPerc": format!("{share:.2}%"),
            "MemUsage": format!("{} / {}", binary(memory), binary(limit)),
            "MemPerc": format!("{:.2}%", 100.0 * memory as f64 / limit.max(1) as f64),
            "NetIO": "0B / 0B",
            "BlockIO": format!("{} / {}", decimal(stats.io_read), decimal(stats.io_written)),
            "PIDs": stats.pids.to_string(),
        })
    }
}

/// How much memory the machine has, in bytes.
fn machine() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    total.unwrap_or(0) * 1024
}

fn binary(bytes: u64) -> String {
    scaled(bytes, 1024.0, ["B", "KiB", "MiB", "GiB", "TiB"])
}

pub fn decimal(bytes: u64) -> String {
    scaled(bytes, 1000.0, ["B", "kB", "MB", "GB", "TB"])
}

/// With four digits at most, as docker.
fn scaled(bytes: u64, step: f64, units: [&str; 5]) -> String {
    let (mut number, mut unit) = (bytes as f64, 0);
    while number >= step && unit < 4 {
        (number, unit) = (number / step, unit + 1);
    }
    let digits = match number {
        n if unit == 0 || n >= 1000.0 => 0,
        n if n >= 100.0 => 1,
        n if n >= 10.0 => 2,
        _ => 3,
    };
    let text = format!("{number:.digits$}");
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", units[unit])
}

/// Print what happens to containers
#[derive(Args, Debug)]
pub struct EventsArgs {
    /// Also what has happened since then
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only until then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only those with: container, event, image, label
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// `json`, or a template
    #[arg(long)]
    format: Option<String>,
}

/// Prints them as they come.
pub fn events(engine: &Engine, args: &EventsArgs) -> anyhow::Result<u8> {
    let bound = |text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => time::parse(text)
            .map(Some)
            .with_context(|| format!("invalid value for a time: {text:?}")),
    };
    let since = bound(&args.since)?.unwrap_or_else(time::now);
    let until = bound(&args.until)?;
    let format = match args.format.as_deref() {
        None | Some("json") => None,
        Some(template) => Some(Format::parse(template)?),
    };
    let mut all = Vec::new();
    for filter in &args.filter {
        let pair = filter.split_once('=').with_context(|| format!("invalid filter '{filter}'"))?;
        if !["container", "event", "image", "label", "type"].contains(&pair.0) {
            bail!("invalid filter '{}'", pair.0);
        }
        all.push(pair);
    }
    let old = engine.events_file().with_extension("log.1");
    if let Ok(file) = std::fs::File::open(old) {
        for event in BufReader::new(file).lines().map_while(Result::ok).filter_map(read_event) {
            if !told(&event, since, until, &all, &format, args)? {
                return Ok(0);
            }
        }
    }
    let mut file = None;
    let mut line = String::new();
    loop {
        if file.is_none() {
            file = std::fs::File::open(engine.events_file()).ok().map(BufReader::new);
        }
        let count = match &mut file {
            Some(file) => file.read_line(&mut line)?,
            None => 0,
        };
        if line.ends_with('\n') {
            if let Some(event) = read_event(std::mem::take(&mut line))
                && !told(&event, since, until, &all, &format, args)?
            {
                return Ok(0);
            }
            line.clear();
        } else if count == 0 {
            if until.is_some_and(|until| time::now() > until) || super::logs::gone() {
                return Ok(0);
            }
            if let Some(open) = &file
                && crate::shim::read::replaced(open.get_ref(), &engine.events_file())
            {
                file = None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn read_event(line: String) -> Option<Event> {
    serde_json::from_str(&line).ok()
}

/// Prints it if it is wanted; whether there may be more.
fn told(
    event: &Event,
    since: u64,
    until: Option<u64>,
    filters: &[(&str, &str)],
    format: &Option<Format>,
    args: &EventsArgs,
) -> anyhow::Result<bool> {
    if until.is_some_and(|until| event.time > until) {
        return Ok(false);
    }
    let fits = |name: &str, value: &str| match name {
        "container" => event.name == value || event.id.starts_with(value),
        // `health_status: healthy` is a `health_status`.
        "event" => event.action == value || event.action.split(':').next() == Some(value),
        "image" => event.image == value || event.image.strip_suffix(":latest") == Some(value),
        "type" => value == "container",
        _ => match value.split_once('=') {
            Some((name, value)) => event.labels.get(name).is_some_and(|v| v == value),
            None => event.labels.contains_key(value),
        },
    };
    let wanted = filters
        .iter()
        .all(|(name, _)| filters.iter().any(|(other, value)| other == name && fits(other, value)));
    if event.time < since || !wanted {
        return Ok(true);
    }
    let mut attributes = serde_json::Map::new();
    attributes.extend(event.labels.iter().map(|(name, value)| (name.clone(), json!(value))));
    attributes.extend(event.exit_code.map(|code| ("exitCode".to_owned(), json!(code.to_string()))));
    attributes.insert("image".to_owned(), json!(event.image));
    attributes.insert("name".to_owned(), json!(event.name));
    let value = json!({
        "status": event.action, "id": event.id, "from": event.image, "Type": "container",
        "Action": event.action, "Actor": { "ID": event.id, "Attributes": attributes },
        "scope": "local", "time": event.time / time::SECOND, "timeNano": event.time,
        "Status": event.action, "ID": event.id, "From": event.image,
    });
    let text = match (format, args.format.is_some()) {
        (Some(format), _) => format.apply(&value)?,
        (None, true) => value.to_string(),
        (None, false) => {
            let pairs = attributes
                .iter()
                .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
            let pairs = pairs.collect::<Vec<_>>().join(", ");
            format!("{} container {} {} ({pairs})", time::text(event.time), event.action, event.id)
        }
    };
    print(&(text + "\n")).map(|_| true)
}

/// Print what has changed in a container's files
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// Its name or id
    container: String,
}

/// `A` added, `C` changed, `D` deleted.
pub fn diff(engine: &Engine, args: &DiffArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    let changes = engine.diff(&args.container)?;
    print(&changes.iter().map(|(kind, path)| format!("{kind} {path}\n")).collect::<String>())
}

/// Remove all containers that do not run
#[derive(Args, Debug)]
pub struct PruneArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only those with: label, until
    #[arg(long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
}

/// Removes them.
pub fn prune(engine: &Engine, args: &PruneArgs) -> anyhow::Result<u8> {
    let filters = Filters::parse(&args.filter)?;
    if !args.force && !confirmed("WARNING! This will remove all stopped containers.")? {
        return Ok(0);
    }
    engine.sweep()?;
    let (text, space) = pruned(engine, &filters)?;
    print(&format!("{text}Total reclaimed space: {}\n", decimal(space)))
}

/// Whether somebody who was warned goes on.
pub fn confirmed(warning: &str) -> anyhow::Result<bool> {
    print(&format!("{warning}\nAre you sure you want to continue? [y/N] "))?;
    stdout().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y"))
}

/// Removes them: what was removed, and how much that was.
pub fn pruned(engine: &Engine, filters: &Filters) -> anyhow::Result<(String, u64)> {
    let (mut removed, mut space) = (Vec::new(), 0);
    for record in engine.list()? {
        let rests = record.at_rest();
        if rests && filters.take(&record) {
            let size = engine.written(&record);
            if engine.remove(&record.id, false, false).is_ok() {
                removed.push(record.id);
                space += size;
            }
        }
    }
    let text = match removed.is_empty() {
        true => String::new(),
        false => format!("Deleted Containers:\n{}\n\n", removed.join("\n")),
    };
    Ok((text, space))
}
