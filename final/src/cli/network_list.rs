//! `dockster network ls` and `inspect`.

use std::collections::BTreeMap;

use anyhow::bail;
use ch04_network::{DEFAULT, Network};
use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::image_list::{standard, text};
use super::list::templated;
use super::print;
use crate::engine::Engine;
use crate::engine::network::Place;
use crate::shim::time;

/// List networks
#[derive(Args, Debug)]
pub struct LsArgs {
    /// Only those with: driver, id, label, name, scope, type
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

/// Print all that is known of one or more networks
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// `json`, or a template: {{.Driver}}
    #[arg(short, long)]
    format: Option<String>,
    /// Names or ids
    #[arg(required = true)]
    networks: Vec<String>,
}

/// A network, and docker's name for its kind.
struct Kind(Network, &'static str);

/// Those that are kept, and the two that need no wire.
fn all(engine: &Engine) -> anyhow::Result<Vec<Kind>> {
    let bridges = engine.site().lock()?.list().to_vec();
    let mut all: Vec<_> = bridges.into_iter().map(|network| Kind(network, "bridge")).collect();
    for (name, driver) in [("host", "host"), ("none", "null")] {
        let network = Network {
            id: id_of(&[&engine.site().dir.to_string_lossy(), name]),
            name: name.to_owned(),
            created: 0,
            bridge: String::new(),
            ranges: Vec::new(),
            internal: false,
            labels: BTreeMap::new(),
        };
        all.push(Kind(network, driver));
    }
    all.sort_by(|one, other| one.0.name.cmp(&other.0.name));
    Ok(all)
}

/// An id for what has none of its own: the same each time.
pub fn id_of(of: &[&str]) -> String {
    let digest = Sha256::digest(of.join("\0").as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lists them as docker does.
pub fn ls(engine: &Engine, args: &LsArgs) -> anyhow::Result<u8> {
    let known = ["driver", "id", "label", "name", "scope", "type"];
    let mut filters = Vec::new();
    for filter in &args.filter {
        match filter.split_once('=') {
            Some((name, value)) if known.contains(&name) => filters.push((name, value)),
            _ => bail!("invalid filter '{filter}'"),
        }
    }
    let shown = all(engine)?;
    let shown =
        shown.iter().filter(|kind| filters.iter().all(|(name, value)| fits(kind, name, value)));
    let rows = shown.map(|kind| row(kind, args.no_trunc));
    match args.format.as_deref() {
        None | Some("table") if args.quiet => {
            print(&rows.map(|row| text(&row, "ID") + "\n").collect::<String>())
        }
        None | Some("table") => {
            let head = ["NETWORK ID", "NAME", "DRIVER", "SCOPE"];
            print(&standard(rows, ["ID", "Name", "Driver", "Scope"], head))
        }
        Some("json") => print(&rows.map(|row| format!("{row}\n")).collect::<String>()),
        Some(template) => templated(rows, template, &headings()),
    }
}

fn fits(Kind(network, driver): &Kind, name: &str, value: &str) -> bool {
    match name {
        "driver" => *driver == value,
        "id" => network.id.starts_with(value),
        "name" => network.name.contains(value),
        "scope" => value == "local",
        "type" => (value == "builtin") == [DEFAULT, "host", "none"].contains(&&*network.name),
        _ => match value.split_once('=') {
            Some((name, value)) => network.labels.get(name).is_some_and(|v| v == value),
            None => network.labels.contains_key(value),
        },
    }
}

fn headings() -> Value {
    json!({
        "ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "IPv4": "IPV4",
        "IPv6": "IPV6", "Internal": "INTERNAL", "Labels": "LABELS", "CreatedAt": "CREATED AT",
    })
}

fn row(Kind(network, driver): &Kind, whole: bool) -> Value {
    let labels = network.labels.iter().map(|(name, value)| format!("{name}={value}"));
    json!({
        "ID": if whole { &network.id } else { &network.id[..12] },
        "Name": network.name,
        "Driver": driver,
        "Scope": "local",
        "IPv4": "true",
        "IPv6": has_ipv6(network).to_string(),
        "Internal": network.internal.to_string(),
        "Labels": labels.collect::<Vec<_>>().join(","),
        "CreatedAt": time::text(network.created),
    })
}

fn has_ipv6(network: &Network) -> bool {
    network.ranges.iter().any(|range| range.subnet.addr().is_ipv6())
}

/// Prints it; of those that are not there a sentence each.
pub fn inspect(engine: &Engine, args: &InspectArgs) -> anyhow::Result<u8> {
    let (all, places) = (all(engine)?, engine.places()?);
    super::inspect::many(&args.networks, args.format.as_deref(), |name| {
        let exact = all.iter().find(|kind| kind.0.name == name || kind.0.id == name);
        let mut like = all.iter().filter(|kind| !name.is_empty() && kind.0.id.starts_with(name));
        match (exact, like.next(), like.next()) {
            (Some(kind), ..) | (None, Some(kind), None) => Ok(described(kind, &places)),
            (None, Some(_), Some(_)) => {
                bail!("network {name} is ambiguous (more than one match found based on ID prefix)")
            }
            _ => bail!("network {name} not found"),
        }
    })
}

fn described(Kind(network, driver): &Kind, places: &[Place]) -> Value {
    let ranges = network.ranges.iter();
    let ranges: Vec<_> =
        ranges.map(|range| json!({ "Subnet": range.subnet, "Gateway": range.gateway })).collect();
    let on_it = places.iter().filter(|place| place.network.id == network.id);
    let containers: serde_json::Map<_, _> = on_it
        .map(|place| {
            let lease = &place.lease;
            let address = |four: bool| {
                let found = lease.addresses.iter().find(|net| net.addr().is_ipv4() == four);
                found.map_or(String::new(), ToString::to_string)
            };
            let value = json!({
                "Name": lease.name,
                "EndpointID": id_of(&[&network.id, &lease.container]),
                "MacAddress": lease.mac,
                "IPv4Address": address(true),
                "IPv6Address": address(false),
            });
            (lease.container.clone(), value)
        })
        .collect();
    json!({
        "Name": network.name,
        "Id": network.id,
        "Created": time::text(network.created),
        "Scope": "local",
        "Driver": driver,
        "EnableIPv4": true,
        "EnableIPv6": has_ipv6(network),
        "IPAM": { "Driver": "default", "Options": {}, "Config": ranges },
        "Internal": network.internal,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": { "Network": "" },
        "ConfigOnly": false,
        "Containers": containers,
        "Options": {},
        "Labels": network.labels,
    })
}
