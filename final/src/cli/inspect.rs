//! `dockster inspect`: in docker's shape.

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use super::format::Format;
use super::{port, print};
use crate::engine::Engine;
use crate::engine::health::{Answer, Health};
use crate::engine::record::{Policy, Record, Status};
use crate::engine::wire::Mode;
use crate::shim::{log, time};

/// Print all that is known of one or more containers
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// `json`, or a template: {{.State.Status}}
    #[arg(short, long)]
    format: Option<String>,
    /// What is meant: container
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Names or ids
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Prints it; of those that are not there a sentence each.
pub fn inspect(engine: &Engine, args: &InspectArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    if let Some(kind) = args.kind.as_deref().filter(|kind| *kind != "container") {
        bail!("\"{kind}\" is not a valid value for --type: only container is");
    }
    many(&args.containers, args.format.as_deref(), |name| match engine.find(name) {
        Ok(id) => of(engine, &id, name),
        // As docker: of both that might be meant, the container first.
        Err(error) => super::image_inspect::of(engine, name).map_err(|_| error.into()),
    })
}

/// Prints what is known of each; of those that are not there a sentence each.
pub fn many(
    names: &[String],
    format: Option<&str>,
    of: impl Fn(&str) -> anyhow::Result<Value>,
) -> anyhow::Result<u8> {
    let template = match format {
        None | Some("json") => None,
        Some(template) => Some(Format::parse(template)?),
    };
    let (mut all, mut status) = (Vec::new(), 0);
    for name in names {
        match of(name) {
            Ok(value) => all.push(value),
            Err(error) => {
                eprintln!("dockster: {error:#}");
                status = 1;
            }
        }
    }
    match (&template, format.is_some()) {
        (Some(template), _) => {
            for value in &all {
                print(&(template.apply(value)? + "\n"))?;
            }
        }
        (None, true) => drop(print(&format!("{}\n", Value::Array(all)))?),
        (None, false) => {
            let text = serde_json::to_string_pretty(&all)?.replace("  ", "    ");
            print(&(text + "\n"))?;
        }
    }
    Ok(status)
}

/// All that is known of one.
fn of(engine: &Engine, id: &str, name: &str) -> anyhow::Result<Value> {
    let record = engine.known(id, name)?;
    let dir = engine.place(id).as_ref().to_owned();
    let path = dir.join("config.json");
    let text = std::fs::read(&path).with_context(|| format!("read({path:?})"))?;
    let spec: Value = serde_json::from_slice(&text).with_context(|| format!("{path:?}"))?;
    let args = record.command.get(1..).unwrap_or_default();
    let names = match &record.plan.wire.mode {
        Mode::Container(other) => engine.place(other).as_ref().to_owned(),
        _ => dir.clone(),
    };
    let kept = record.plan.log.kept;
    Ok(json!({
        "Id": record.id,
        "Created": time::text(record.created),
        "Path": record.command.first(),
        "Args": args,
        "State": state(&record),
        "Image": record.image_id,
        "ResolvConfPath": names.join("resolv.conf"),
        "HostnamePath": names.join("hostname"),
        "HostsPath": names.join("hosts"),
        "LogPath": if kept { dir.join(log::FILE).display().to_string() } else { String::new() },
        "Name": format!("/{}", record.name),
        "RestartCount": record.restarts,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": null,
        "HostConfig": host_config(&record, &spec),
        "GraphDriver": {
            "Data": {
                "LowerDir": lowers(&record),
                "MergedDir": dir.join("merged"),
                "UpperDir": dir.join("upper"),
                "WorkDir": dir.join("work"),
            },
            "Name": "overlay2",
        },
        "Mounts": mounts(&record),
        "Config": config(&record, &spec),
        "NetworkSettings": port::settings(&engine.places()?, &record),
    }))
}

fn lowers(record: &Record) -> String {
    let layers: Vec<_> =
        record.plan.layers.iter().map(|layer| layer.display().to_string()).collect();
    layers.join(":")
}

fn state(record: &Record) -> Value {
    let pid = record.init.filter(|init| init.alive()).map_or(0, |init| init.pid);
    let mut state = json!({
        "Status": super::list::state(record),
        "Running": record.lives(),
        "Paused": record.paused,
        "Restarting": record.status == Status::Restarting,
        "OOMKilled": record.oom_killed,
        "Dead": false,
        "Pid": pid,
        "ExitCode": record.exit_code.unwrap_or(0),
        "Error": record.error,
        "StartedAt": time::text(record.started),
        "FinishedAt": time::text(record.finished),
    });
    if let Some(health) = &record.health {
        state["Health"] = self::health(health);
    }
    state
}

fn health(health: &Health) -> Value {
    let answer = |answer: &Answer| {
        json!({
            "Start": time::text(answer.start),
            "End": time::text(answer.end),
            "ExitCode": answer.exit_code,
            "Output": answer.output,
        })
    };
    json!({
        "Status": health.status.name(),
        "FailingStreak": health.failing_streak,
        "Log": health.log.iter().map(answer).collect::<Vec<_>>(),
    })
}

fn host_config(record: &Record, spec: &Value) -> Value {
    let resources = &spec["linux"]["resources"];
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let cpu = &resources["cpu"];
    let plan = &record.plan;
    let retries = if let Policy::OnFailure(most) = plan.restart { most } else { 0 };
    let mut options = serde_json::Map::new();
    if plan.log.max_size > 0 {
        options.insert("max-size".to_owned(), plan.log.max_size.to_string().into());
        options.insert("max-file".to_owned(), plan.log.max_file.to_string().into());
    }
    json!({
        "Binds": if plan.binds.is_empty() { Value::Null } else { json!(plan.binds) },
        "LogConfig": { "Type": if plan.log.kept { "json-file" } else { "none" }, "Config": options },
        "NetworkMode": plan.wire.mode_text(),
        "PortBindings": port::bindings(record),
        "PublishAllPorts": plan.wire.publish_all,
        "Dns": plan.wire.dns.servers,
        "DnsOptions": plan.wire.dns.options,
        "DnsSearch": plan.wire.dns.search,
        "RestartPolicy": { "Name": plan.restart.name(), "MaximumRetryCount": retries },
        "AutoRemove": record.auto_remove,
        "Privileged": false,
        "Init": plan.init,
        "ReadonlyRootfs": spec["root"]["readonly"],
        "Memory": number(&resources["memory"]["limit"]),
        "MemorySwap": number(&resources["memory"]["swap"]),
        "MemoryReservation": number(&resources["memory"]["reservation"]),
        "CpuShares": number(&cpu["shares"]),
        "CpuPeriod": number(&cpu["period"]),
        "CpuQuota": number(&cpu["quota"]),
        "CpusetCpus": cpu["cpus"].as_str().unwrap_or(""),
        "CpusetMems": cpu["mems"].as_str().unwrap_or(""),
        "PidsLimit": resources["pids"]["limit"],
        "BlkioWeight": number(&resources["blockIO"]["weight"]),
        "MaskedPaths": spec["linux"]["maskedPaths"],
        "ReadonlyPaths": spec["linux"]["readonlyPaths"],
    })
}

fn mounts(record: &Record) -> Value {
    let shown = record.plan.mounts.iter().filter(|point| point.kind != "tmpfs");
    let shown = shown.map(|point| {
        let mut value = json!({
            "Type": point.kind, "Source": point.source, "Destination": point.destination,
            "Mode": point.mode, "RW": point.writable, "Propagation": "rprivate",
        });
        if let Some(name) = &point.name {
            (value["Name"], value["Driver"]) = (json!(name), json!("local"));
            value["Propagation"] = json!("");
        }
        value
    });
    shown.collect()
}

fn nameless(record: &Record) -> Value {
    let points = record.plan.mounts.iter().filter(|point| point.anonymous);
    let all: serde_json::Map<_, _> =
        points.map(|point| (point.destination.display().to_string(), json!({}))).collect();
    if all.is_empty() { Value::Null } else { Value::Object(all) }
}

fn config(record: &Record, spec: &Value) -> Value {
    let plan = &record.plan;
    let process = &spec["process"];
    let user = &process["user"];
    let ids = [&user["uid"], &user["gid"]].map(|id| id.as_u64().unwrap_or(0));
    let words = record.command.get(plan.entrypoint.len()..).unwrap_or_default();
    let entrypoint = match plan.entrypoint.is_empty() {
        true => Value::Null,
        false => json!(plan.entrypoint),
    };
    let signal = nix::sys::signal::Signal::try_from(plan.stop_signal);
    let signal = signal.map_or(plan.stop_signal.to_string(), |signal| signal.as_str().to_owned());
    json!({
        "Hostname": spec["hostname"],
        "Domainname": "",
        "User": if ids == [0, 0] { String::new() } else { format!("{}:{}", ids[0], ids[1]) },
        "AttachStdin": plan.stdin_once,
        "AttachStdout": true,
        "AttachStderr": true,
        "Tty": plan.terminal,
        "OpenStdin": plan.stdin,
        "StdinOnce": plan.stdin_once,
        "Env": process["env"],
        "Cmd": words,
        "ExposedPorts": port::exposed(record),
        "Image": record.image,
        "Volumes": nameless(record),
        "WorkingDir": process["cwd"],
        "Entrypoint": entrypoint,
        "Labels": plan.labels,
        "StopSignal": signal,
        "StopTimeout": plan.stop_timeout,
        "Healthcheck": plan.health,
    })
}
