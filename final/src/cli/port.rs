//! `dockster port`, and what else is said of networks where containers are listed and
//! inspected.

use anyhow::bail;
use ch04_network::{Port, Protocol, ports};
use clap::Args;
use serde_json::{Map, Value, json};

use super::network_list::id_of;
use super::print;
use crate::engine::Engine;
use crate::engine::network::Place;
use crate::engine::record::Record;
use crate::engine::wire::Join;

/// Print what is published of a container
#[derive(Args, Debug)]
pub struct PortArgs {
    /// The container
    container: String,
    /// A port of it: 80, or 80/udp
    port: Option<String>,
}

/// Prints it: `80/tcp -> 0.0.0.0:8080`.
pub fn port(engine: &Engine, args: &PortArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    let record = engine.known(&engine.find(&args.container)?, &args.container)?;
    let published = of(&engine.places()?, &record);
    let Some(text) = &args.port else {
        let lines = published.iter().flat_map(|port| {
            places_of(port).into_iter().map(|place| format!("{} -> {place}\n", inside(port)))
        });
        return print(&lines.collect::<String>());
    };
    let wanted = ports::expose(text)?;
    let wanted = |port: &&Port| wanted.contains(&(port.container, port.protocol));
    let lines: Vec<_> = published.iter().filter(wanted).flat_map(places_of).collect();
    if lines.is_empty() {
        let protocol = if text.contains('/') { "" } else { "/tcp" };
        bail!("no public port '{text}{protocol}' published for {}", args.container);
    }
    print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

/// What is published of a container, in order.
fn of(places: &[Place], record: &Record) -> Vec<Port> {
    let own = places.iter().filter(|place| place.lease.container == record.id);
    let mut ports: Vec<_> = own.flat_map(|place| place.lease.ports.clone()).collect();
    ports.sort_by_key(|port| (port.container, port.protocol, port.host));
    ports
}

fn inside(port: &Port) -> String {
    named(port.container, port.protocol)
}

fn named(port: u16, protocol: Protocol) -> String {
    format!("{port}/{}", protocol.name())
}

/// Where on the host it is: `0.0.0.0:8080`.
fn places_of(port: &Port) -> Vec<String> {
    hosts(port)
        .into_iter()
        .map(|host| match host.contains(':') {
            true => format!("[{host}]:{}", port.host),
            false => format!("{host}:{}", port.host),
        })
        .collect()
}

fn hosts(port: &Port) -> Vec<String> {
    match port.address {
        Some(address) => vec![address.to_string()],
        None => vec!["0.0.0.0".to_owned(), "::".to_owned()],
    }
}

/// The column PORTS of a container that runs.
pub fn column(places: &[Place], record: &Record) -> String {
    if !record.lives() {
        return String::new();
    }
    let published = of(places, record);
    let mut cells = Vec::new();
    for &(port, protocol) in &record.plan.wire.exposed {
        let own = published.iter().filter(|p| (p.container, p.protocol) == (port, protocol));
        let own: Vec<_> = own.collect();
        for port in &own {
            cells.extend(places_of(port).iter().map(|at| format!("{at}->{}", inside(port))));
        }
        if own.is_empty() && record.plan.wire.is_own() {
            cells.push(named(port, protocol));
        }
    }
    cells.join(", ")
}

/// The names of the networks that it is on.
pub fn networks(record: &Record) -> Vec<String> {
    let wire = &record.plan.wire;
    match wire.joins.is_empty() {
        true => vec![wire.mode_text()],
        false => wire.joins.iter().map(|join| join.network.clone()).collect(),
    }
}

/// `NetworkSettings` of a container.
pub fn settings(places: &[Place], record: &Record) -> Value {
    let wire = &record.plan.wire;
    let published = of(places, record);
    let mut ports = Map::new();
    for &(port, protocol) in wire.exposed.iter().filter(|_| record.lives()) {
        let own = published.iter().filter(|p| (p.container, p.protocol) == (port, protocol));
        let at = |port: &Port| {
            let number = port.host.to_string();
            hosts(port).into_iter().map(move |h| json!({ "HostIp": h, "HostPort": number.clone() }))
        };
        let all: Vec<_> = own.flat_map(at).collect();
        let all = if all.is_empty() { Value::Null } else { Value::Array(all) };
        ports.insert(named(port, protocol), all);
    }
    let none = Join::default();
    let joined = networks(record).into_iter().map(|name| {
        let join = wire.joins.iter().find(|join| join.network == name).unwrap_or(&none);
        let place = places
            .iter()
            .find(|place| place.lease.container == record.id && place.network.name == name);
        let value = endpoint(record, join, place);
        (name, value)
    });
    let joined: Map<_, _> = joined.collect();
    let usual = joined.get("bridge").cloned().unwrap_or_else(|| endpoint(record, &none, None));
    json!({
        "SandboxKey": record.init.filter(|_| record.lives() && wire.is_own())
            .map_or(String::new(), |init| format!("/proc/{}/ns/net", init.pid)),
        "Ports": ports,
        "Gateway": usual["Gateway"],
        "IPAddress": usual["IPAddress"],
        "IPPrefixLen": usual["IPPrefixLen"],
        "MacAddress": usual["MacAddress"],
        "Networks": joined,
    })
}

fn endpoint(record: &Record, join: &Join, place: Option<&Place>) -> Value {
    let of = |four: bool| {
        let net = place.and_then(|place| {
            place.lease.addresses.iter().find(|net| net.addr().is_ipv4() == four)
        });
        let range = place.and_then(|place| {
            place.network.ranges.iter().find(|range| range.gateway.is_ipv4() == four)
        });
        (
            net.map_or(String::new(), |net| net.addr().to_string()),
            net.map_or(0, |net| net.prefix_len()),
            range.map_or(String::new(), |range| range.gateway.to_string()),
        )
    };
    let ((address, length, gateway), (address6, length6, gateway6)) = (of(true), of(false));
    let asked = join.address.map(|address| json!({ "IPv4Address": address }));
    json!({
        "IPAMConfig": asked,
        "Links": null,
        "Aliases": if join.aliases.is_empty() { Value::Null } else { json!(join.aliases) },
        "MacAddress": place.map_or("", |place| &place.lease.mac),
        "DriverOpts": null,
        "NetworkID": place.map_or("", |place| &place.network.id),
        "EndpointID": place.map_or(String::new(), |p| id_of(&[&p.network.id, &record.id])),
        "Gateway": gateway,
        "IPAddress": address,
        "IPPrefixLen": length,
        "IPv6Gateway": gateway6,
        "GlobalIPv6Address": address6,
        "GlobalIPv6PrefixLen": length6,
        "DNSNames": place.map(|place| {
            std::iter::once(&place.lease.name).chain(&place.lease.aliases).collect::<Vec<_>>()
        }),
    })
}

/// `HostConfig.PortBindings`: what was asked for.
pub fn bindings(record: &Record) -> Value {
    let mut all = Map::new();
    for publish in &record.plan.wire.publish {
        let port = match publish.host {
            None => String::new(),
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
        };
        let host = publish.address.map_or(String::new(), |address| address.to_string());
        let key = named(publish.container, publish.protocol);
        let list = all.entry(key).or_insert_with(|| json!([]));
        list.as_array_mut()
            .into_iter()
            .for_each(|list| list.push(json!({ "HostIp": host, "HostPort": port })));
    }
    Value::Object(all)
}

/// `Config.ExposedPorts`.
pub fn exposed(record: &Record) -> Value {
    let exposed = &record.plan.wire.exposed;
    let all = exposed.iter().map(|&(port, protocol)| (named(port, protocol), json!({})));
    Value::Object(all.collect())
}
