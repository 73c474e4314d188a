//! Catalogue: not needed to understand the chapter.
//!
//! What a container uses, in the shape in which `runc events --stats` prints it and
//! containerd reads it. As there, numbers that are 0 are mostly left out. Times are
//! nanoseconds, sizes bytes.

use ch01_clone::Result;
use ch03_cgroups::Cgroup;
use serde_json::{Map, Value, json};

/// The `data` of an event of type `stats`.
pub fn statistics(cgroup: &Cgroup) -> Result<Value> {
    let files = Files(cgroup);
    Ok(json!({
        "cpu": cpu(&files)?,
        "cpuset": cpuset(&files)?,
        "memory": memory(&files)?,
        "pids": pids(&files)?,
        "blkio": blkio(&files)?,
        "hugetlb": hugetlb(&files)?,
        "intel_rdt": {},
        "network_interfaces": null,
    }))
}

/// A cgroup's files, by their names in both versions.
struct Files<'a>(&'a Cgroup);

impl Files<'_> {
    /// Empty where there is no such file.
    fn text(&self, v2: &str, v1: &str) -> Result<String> {
        let name = if self.0.unified() { v2 } else { v1 };
        let controller = v1.split('.').next().unwrap_or(name);
        match name {
            "" => Ok(String::new()),
            _ => Ok(self.0.file_of(controller, v2, v1)?.unwrap_or_default()),
        }
    }

    /// A single number; `max` is the largest one.
    fn number(&self, v2: &str, v1: &str) -> Result<u64> {
        Ok(number(&self.text(v2, v1)?))
    }

    /// How long they stood still for want of this (version 2 only).
    fn pressure(&self, file: &str) -> Result<Option<Value>> {
        let text = self.text(file, "")?;
        let mut all = Map::new();
        for line in text.lines() {
            let mut words = line.split(' ');
            let kind = words.next().unwrap_or_default();
            let fields = words.filter_map(|word| word.split_once('='));
            let value = |(name, value): (&str, &str)| {
                Some((name.to_owned(), value.parse::<serde_json::Number>().ok()?.into()))
            };
            all.insert(kind.to_owned(), Value::Object(fields.filter_map(value).collect()));
        }
        Ok((!all.is_empty()).then_some(Value::Object(all)))
    }
}

fn number(text: &str) -> u64 {
    match text.trim() {
        "max" => u64::MAX,
        text => text.parse().unwrap_or(0),
    }
}

/// The value behind `key`.
fn field(text: &str, key: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(name, _)| *name == key).map_or(0, |(_, value)| number(value))
}

/// An object without the numbers that are 0, and with those that are always there.
fn object(always: &[(&str, u64)], unless_zero: &[(&str, u64)]) -> Map<String, Value> {
    let given = unless_zero.iter().filter(|(_, value)| *value != 0);
    always.iter().chain(given).map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
}

fn with(mut object: Map<String, Value>, name: &str, value: Option<Value>) -> Map<String, Value> {
    object.extend(value.map(|value| (name.to_owned(), value)));
    object
}

fn cpu(files: &Files<'_>) -> Result<Value> {
    let stat = files.text("cpu.stat", "cpu.stat")?;
    let unified = files.0.unified();
    // Version 2 counts in microseconds.
    let time = |v2: &str, v1: &str| match unified {
        true => Ok(field(&stat, v2) * 1000),
        false => files.number("", v1),
    };
    let total = time("usage_usec", "cpuacct.usage")?;
    let user = time("user_usec", "cpuacct.usage_user")?;
    let kernel = time("system_usec", "cpuacct.usage_sys")?;
    let each = files.text("", "cpuacct.usage_percpu")?;
    let each: Vec<_> = each.split_whitespace().map(number).collect();
    let usage = object(&[("kernel", kernel), ("user", user)], &[("total", total)]);
    let throttled = match unified {
        true => field(&stat, "throttled_usec") * 1000,
        false => field(&stat, "throttled_time"),
    };
    let throttling = object(
        &[],
        &[
            ("periods", field(&stat, "nr_periods")),
            ("throttledPeriods", field(&stat, "nr_throttled")),
            ("throttledTime", throttled),
        ],
    );
    let cpu = json!({
        "usage": with(usage, "percpu", (!each.is_empty()).then(|| json!(each))),
        "throttling": throttling,
    });
    Ok(pressed(cpu, files.pressure("cpu.pressure")?))
}

fn pressed(mut object: Value, pressure: Option<Value>) -> Value {
    if let Some(pressure) = pressure {
        object["psi"] = pressure;
    }
    object
}

/// Only version 1 tells.
fn cpuset(files: &Files<'_>) -> Result<Value> {
    let mut all = Map::new();
    for name in ["cpus", "mems"] {
        let list = list(files.text("", &format!("cpuset.{name}"))?.trim());
        if !list.is_empty() {
            all.insert(name.to_owned(), json!(list));
        }
    }
    for name in [
        "cpu_exclusive",
        "mem_hardwall",
        "mem_exclusive",
        "memory_migrate",
        "memory_spread_page",
        "memory_spread_slab",
        "memory_pressure",
        "sched_load_balance",
        "sched_relax_domain_level",
    ] {
        let value = files.text("", &format!("cpuset.{name}"))?;
        all.insert(name.to_owned(), json!(value.trim().parse::<i64>().unwrap_or(0)));
    }
    Ok(Value::Object(all))
}

/// `0-2,7`
fn list(text: &str) -> Vec<u64> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u64>().ok()?..=last.parse::<u64>().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

fn memory(files: &Files<'_>) -> Result<Value> {
    let stat = files.text("memory.stat", "memory.stat")?;
    let raw: Map<String, Value> = stat
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, value)| (name.to_owned(), number(value).into()))
        .collect();
    let cache = field(&stat, if files.0.unified() { "file" } else { "cache" });
    let mut memory = object(&[], &[("cache", cache)]);
    let usage = entry(files, "memory")?;
    memory.insert("swap".into(), swap(files, &usage)?);
    memory.insert("usage".into(), usage);
    memory.insert("kernel".into(), entry(files, "memory.kmem")?);
    memory.insert("kernelTCP".into(), entry(files, "memory.kmem.tcp")?);
    memory.insert("raw".into(), Value::Object(raw));
    let events = files.text("memory.events", "")?;
    let names = ["low", "high", "max", "oom", "oom_kill"];
    let counts: Vec<_> = names.iter().map(|name| (*name, field(&events, name))).collect();
    memory.insert("event_count".into(), Value::Object(object(&[], &counts)));
    Ok(pressed(Value::Object(memory), files.pressure("memory.pressure")?))
}

/// What version 1 counts of one kind of memory; version 2 only knows `memory`.
fn entry(files: &Files<'_>, kind: &str) -> Result<Value> {
    let v2 = |name: &'static str| if kind == "memory" { name } else { "" };
    let count = |v2: &str, v1: &str| files.number(v2, &format!("{kind}.{v1}"));
    let limit = count(v2("memory.max"), "limit_in_bytes")?;
    let usage = count(v2("memory.current"), "usage_in_bytes")?;
    let peak = count(v2("memory.peak"), "max_usage_in_bytes")?;
    let failed = count("", "failcnt")?;
    let always = [("limit", limit), ("failcnt", failed)];
    Ok(Value::Object(object(&always, &[("usage", usage), ("max", peak)])))
}

/// Memory and swap together, as version 1 counts.
fn swap(files: &Files<'_>, memory: &Value) -> Result<Value> {
    if !files.0.unified() {
        return entry(files, "memory.memsw");
    }
    let of = |name: &str| memory[name].as_u64().unwrap_or(0);
    let usage = files.number("memory.swap.current", "")?.saturating_add(of("usage"));
    let limit = files.number("memory.swap.max", "")?.saturating_add(of("limit"));
    Ok(Value::Object(object(&[("limit", limit), ("failcnt", 0)], &[("usage", usage)])))
}

fn pids(files: &Files<'_>) -> Result<Value> {
    let limit = files.number("pids.max", "pids.max")?;
    // No limit is left out, like 0.
    let limit = if limit == u64::MAX { 0 } else { limit };
    let current = files.number("pids.current", "pids.current")?;
    Ok(Value::Object(object(&[], &[("current", current), ("limit", limit)])))
}

fn blkio(files: &Files<'_>) -> Result<Value> {
    let (bytes, times) = match files.0.unified() {
        true => {
            let stat = files.text("io.stat", "")?;
            (
                io_stat(&stat, &[("rbytes", "Read"), ("wbytes", "Write")]),
                io_stat(&stat, &[("rios", "Read"), ("wios", "Write")]),
            )
        }
        false => (blkio_v1(files, "io_service_bytes")?, blkio_v1(files, "io_serviced")?),
    };
    let mut all = Map::new();
    for (name, list) in [("ioServiceBytesRecursive", bytes), ("ioServicedRecursive", times)] {
        if !list.is_empty() {
            all.insert(name.to_owned(), json!(list));
        }
    }
    Ok(pressed(Value::Object(all), files.pressure("io.pressure")?))
}

fn blkio_entry(device: &str, op: &str, value: u64) -> Option<Value> {
    let (major, minor) = device.split_once(':')?;
    let numbers =
        [("major", major.parse().ok()?), ("minor", minor.parse().ok()?), ("value", value)];
    Some(Value::Object(with(object(&[], &numbers), "op", Some(op.into()))))
}

/// `8:0 rbytes=4096 wbytes=0 …`
fn io_stat(text: &str, fields: &[(&str, &str)]) -> Vec<Value> {
    let mut all = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let device = words.next().unwrap_or_default();
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let op = fields.iter().find(|(field, _)| *field == name);
            all.extend(op.and_then(|(_, op)| blkio_entry(device, op, number(value))));
        }
    }
    all
}

/// `8:0 Read 4096`, from the scheduler that counts, or from the throttle.
fn blkio_v1(files: &Files<'_>, name: &str) -> Result<Vec<Value>> {
    for by in ["bfq.", "", "throttle."] {
        let text = files.text("", &format!("blkio.{by}{name}_recursive"))?;
        let entry = |line: &str| {
            let mut words = line.split(' ');
            blkio_entry(words.next()?, words.next()?, number(words.next()?))
        };
        let all: Vec<_> = text.lines().filter_map(entry).collect();
        if !all.is_empty() {
            return Ok(all);
        }
    }
    Ok(Vec::new())
}

fn hugetlb(files: &Files<'_>) -> Result<Value> {
    let mut all = Map::new();
    for entry in std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(size) = name.to_str().and_then(page_size) else { continue };
        let v1 = |name: &str| format!("hugetlb.{size}.{name}");
        let current = format!("hugetlb.{size}.current");
        if files.text(&current, &v1("usage_in_bytes"))?.is_empty() {
            continue;
        }
        let usage = files.number(&current, &v1("usage_in_bytes"))?;
        let events = files.text(&format!("hugetlb.{size}.events"), "")?;
        let failed = files.number("", &v1("failcnt"))?.max(field(&events, "max"));
        let peak = files.number("", &v1("max_usage_in_bytes"))?;
        let entry = object(&[("failcnt", failed)], &[("usage", usage), ("max", peak)]);
        all.insert(size.clone(), Value::Object(entry));
    }
    Ok(Value::Object(all))
}

/// `hugepages-2048kB` is called `2MB` in a cgroup.
fn page_size(name: &str) -> Option<String> {
    let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    Some(match kib {
        0..1024 => format!("{kib}KB"),
        1024..1_048_576 => format!("{}MB", kib >> 10),
        _ => format!("{}GB", kib >> 20),
    })
}
