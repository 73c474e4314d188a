//! `dockster network`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::bail;
use ch04_network::{DEFAULT, New};
use clap::{Args, Subcommand};
use ipnet::IpNet;

use super::live::confirmed;
use super::network_list::{self, InspectArgs, LsArgs};
use super::print;
use crate::engine::Engine;
use crate::engine::wire::Join;

/// What is done to networks
#[derive(Subcommand)]
pub enum NetworkCommand {
    /// Make a network
    Create(CreateArgs),
    /// List networks
    #[command(alias = "list")]
    Ls(LsArgs),
    /// Print all that is known of one or more networks
    Inspect(InspectArgs),
    /// Remove one or more networks that no container is on
    #[command(alias = "remove")]
    Rm(RmArgs),
    /// Remove all networks of your own that no container is on
    Prune(PruneArgs),
    /// Put a container on one more network
    Connect(ConnectArgs),
    /// Take a container off a network
    Disconnect(DisconnectArgs),
    /// Draw the way of a packet through links and rules, as they are now
    Explain {
        /// A network, or a container that is on some
        name: String,
    },
    /// Make bridges and rules anew, as far as they are not there any more
    Reload,
}

/// Make a network
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Its name
    name: String,
    /// What kind of network it is: bridge
    #[arg(short, long, value_name = "DRIVER", default_value = "bridge", hide_default_value = true)]
    driver: String,
    /// Its addresses: 10.1.0.0/24; one of IPv4, and one of IPv6
    #[arg(long, value_name = "SUBNET")]
    subnet: Vec<IpNet>,
    /// The host's address on it
    #[arg(long, value_name = "ADDRESS")]
    gateway: Vec<IpAddr>,
    /// Addresses of IPv6, too
    #[arg(long)]
    ipv6: bool,
    /// No way leads out of it
    #[arg(long)]
    internal: bool,
    /// Label it: NAME=VALUE
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
}

/// Remove one or more networks that no container is on
#[derive(Args, Debug)]
pub struct RmArgs {
    /// One that is not there is as it should be
    #[arg(short, long)]
    force: bool,
    /// Names or ids
    #[arg(required = true)]
    networks: Vec<String>,
}

/// Remove all networks of your own that no container is on
#[derive(Args, Debug)]
pub struct PruneArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// Put a container on one more network
#[derive(Args, Debug)]
pub struct ConnectArgs {
    /// One more name for it there
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// Its address
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<Ipv4Addr>,
    /// Its address of IPv6
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<Ipv6Addr>,
    /// The network
    network: String,
    /// The container
    container: String,
}

/// Take a container off a network
#[derive(Args, Debug)]
pub struct DisconnectArgs {
    /// Also one that is not there any more
    #[arg(short, long)]
    force: bool,
    /// The network
    network: String,
    /// The container
    container: String,
}

/// Does it.
pub fn network(engine: &Engine, command: NetworkCommand) -> anyhow::Result<u8> {
    engine.sweep()?;
    match command {
        NetworkCommand::Create(args) => create(engine, args),
        NetworkCommand::Ls(args) => network_list::ls(engine, &args),
        NetworkCommand::Inspect(args) => network_list::inspect(engine, &args),
        NetworkCommand::Rm(args) => rm(engine, &args),
        NetworkCommand::Prune(args) => prune(engine, &args),
        NetworkCommand::Connect(args) => connect(engine, args),
        NetworkCommand::Disconnect(args) => {
            engine.disconnect(&args.network, &args.container, args.force)?;
            Ok(0)
        }
        NetworkCommand::Explain { name } => {
            engine.explain(&name, |text| drop(print(text)))?;
            Ok(0)
        }
        NetworkCommand::Reload => {
            engine.reload()?;
            Ok(0)
        }
    }
}

fn create(engine: &Engine, args: CreateArgs) -> anyhow::Result<u8> {
    if args.driver != "bridge" {
        bail!("plugin \"{}\" not found", args.driver);
    }
    let labels = args.label.iter().map(|label| label.split_once('=').unwrap_or((label, "")));
    let labels: BTreeMap<_, _> =
        labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let new = New {
        name: args.name,
        subnets: args.subnet,
        gateways: args.gateway,
        ipv6: args.ipv6,
        internal: args.internal,
        labels,
    };
    let mut networks = engine.site().lock()?;
    let network = networks.create(new)?;
    for note in networks.notes() {
        eprintln!("dockster: {note}");
    }
    print(&format!("{}\n", network.id))
}

fn rm(engine: &Engine, args: &RmArgs) -> anyhow::Result<u8> {
    let mut status = 0;
    for name in &args.networks {
        let removed = match name.as_str() {
            "none" | "host" => {
                Err(format!("{name} is a pre-defined network and cannot be removed"))
            }
            _ => {
                let removed = engine.site().lock()?.remove(name);
                removed.map_err(|error| error.to_string())
            }
        };
        match removed {
            Err(error) if args.force && error.ends_with("not found") => {}
            Err(error) => {
                eprintln!("dockster: {error}");
                status = 1;
            }
            Ok(_) => drop(print(&format!("{name}\n"))?),
        }
    }
    Ok(status)
}

fn prune(engine: &Engine, args: &PruneArgs) -> anyhow::Result<u8> {
    let what = "all custom networks not used by at least one container";
    if !args.force && !confirmed(&format!("WARNING! This will remove {what}."))? {
        return Ok(0);
    }
    print(&pruned(engine)?)
}

/// Removes them; what was removed.
pub fn pruned(engine: &Engine) -> anyhow::Result<String> {
    let wanted: Vec<_> = engine.list()?.into_iter().flat_map(|r| r.plan.wire.joins).collect();
    let mut networks = engine.site().lock()?;
    let mut lines = String::new();
    for network in networks.list().to_vec() {
        let used = wanted.iter().any(|join| join.network == network.name);
        if network.name != DEFAULT && !used && networks.remove(&network.name).is_ok() {
            lines += &format!("{}\n", network.name);
        }
    }
    Ok(if lines.is_empty() { lines } else { format!("Deleted Networks:\n{lines}\n") })
}

fn connect(engine: &Engine, args: ConnectArgs) -> anyhow::Result<u8> {
    if ["none", "host"].contains(&args.network.as_str()) {
        bail!("container cannot be connected to the network {}", args.network);
    }
    let join = Join {
        network: args.network,
        aliases: args.alias,
        address: args.ip,
        address6: args.ip6,
        mac: None,
    };
    engine.connect(&args.container, join)?;
    Ok(0)
}
