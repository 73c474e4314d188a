//! Options of `run` and `create` that are about networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, bail};
use ch04_network::files::{self, Dns};
use ch04_network::{DEFAULT, ports};
use clap::Args;

use crate::engine::wire::{Join, Mode, Wire};
use crate::rootless;

/// How it is joined to networks.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Network")]
pub struct WireArgs {
    /// The network that it is on: bridge, none, host, container:NAME or one of your own, in
    /// words name=NAME,alias=NAME,ip=ADDRESS [default: bridge]
    #[arg(long, alias = "net", value_name = "NETWORK")]
    network: Vec<String>,
    /// One more name for it on its network
    #[arg(long, alias = "net-alias", value_name = "NAME")]
    network_alias: Vec<String>,
    /// Its address
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<Ipv4Addr>,
    /// Its address of IPv6
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<Ipv6Addr>,
    /// Its hardware address: 02:42:ac:11:00:02
    #[arg(long, value_name = "ADDRESS")]
    mac_address: Option<String>,
    /// Whoever comes to this port of the host reaches this one of the container:
    /// `[[ADDRESS:]PORT:]PORT[/udp]`
    #[arg(short, long, value_name = "PORT")]
    publish: Vec<String>,
    /// The same for all that is exposed, at ports of the host that are free
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// A port that its programs listen on
    #[arg(long, value_name = "PORT")]
    expose: Vec<String>,
    /// A line for its /etc/hosts: NAME:ADDRESS
    #[arg(long, value_name = "HOST")]
    add_host: Vec<String>,
    /// Whom it asks for the addresses of names, if not whom the host asks
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<String>,
    /// Where it looks for short names
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// An option for /etc/resolv.conf
    #[arg(long, alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,
}

impl WireArgs {
    /// What was asked for; `hostname` is whether a hostname was.
    pub fn wire(&self, hostname: bool) -> anyhow::Result<Wire> {
        let server = |text: &String| {
            text.parse::<IpAddr>().with_context(|| format!("invalid DNS address: {text}"))
        };
        let (mut publish, mut exposed) = (Vec::new(), Vec::new());
        for text in &self.publish {
            publish.extend(ports::publish(text)?);
        }
        for text in &self.expose {
            exposed.extend(ports::expose(text)?);
        }
        let (mode, joins) = self.networks()?;
        if let Mode::Container(_) = mode {
            self.conflicts(hostname)?;
        }
        // A user's words are read twice: outside, and by the inner program.
        if mode == Mode::Host && !self.publish.is_empty() && !rootless::needed() {
            eprintln!("WARNING: Published ports are discarded when using host network mode");
        }
        Ok(Wire {
            mode,
            joins,
            unasked: self.unasked(),
            publish,
            publish_all: self.publish_all,
            exposed,
            dns: Dns {
                servers: self.dns.iter().map(server).collect::<anyhow::Result<_>>()?,
                search: self.dns_search.clone(),
                options: self.dns_option.clone(),
            },
            extras: self
                .add_host
                .iter()
                .map(|text| files::extra(text))
                .collect::<Result<_, _>>()?,
        })
    }

    fn networks(&self) -> anyhow::Result<(Mode, Vec<Join>)> {
        let mut joins = Vec::new();
        for text in &self.network {
            let join = join(text)?;
            let special = match (join.network.as_str(), join.network.strip_prefix("container:")) {
                ("none", _) => Some(Mode::None),
                ("host", _) => Some(Mode::Host),
                (_, Some("")) => bail!("invalid container format container:<name|id>"),
                (_, Some(name)) => Some(Mode::Container(name.to_owned())),
                _ => None,
            };
            match special {
                Some(mode) if self.network.len() == 1 => return Ok((mode, Vec::new())),
                Some(_) => bail!(
                    "conflicting options: cannot attach both user-defined and non-user-defined \
                     network-modes"
                ),
                None => joins.push(join),
            }
        }
        if joins.is_empty() {
            joins.push(Join { network: DEFAULT.to_owned(), ..Join::default() });
        }
        self.first(&mut joins[0])?;
        Ok((Mode::Bridges, joins))
    }

    /// Whether nothing is said that needs a network.
    fn unasked(&self) -> bool {
        let published = self.publish_all || !self.publish.is_empty();
        self.network.is_empty() && self.mac_address.is_none() && !published
    }

    /// What is said of its network in options of their own is about the first.
    fn first(&self, join: &mut Join) -> anyhow::Result<()> {
        let usual = join.network == DEFAULT;
        if usual && (!self.network_alias.is_empty() || !join.aliases.is_empty()) {
            bail!("network-scoped alias is supported only for containers in user defined networks");
        }
        if usual && (self.ip.is_some() || self.ip6.is_some()) {
            bail!("user specified IP address is supported on user defined networks only");
        }
        join.aliases.extend(self.network_alias.iter().cloned());
        join.address = join.address.or(self.ip);
        join.address6 = join.address6.or(self.ip6);
        join.mac = join.mac.take().or(self.mac_address.clone());
        Ok(())
    }

    /// Who is on another container's network sees its files, too.
    fn conflicts(&self, hostname: bool) -> anyhow::Result<()> {
        let dns = [&self.dns, &self.dns_search, &self.dns_option];
        let what = match () {
            () if hostname => "hostname and the network mode",
            () if dns.iter().any(|all| !all.is_empty()) => "dns and the network mode",
            () if !self.add_host.is_empty() => "custom host-to-IP mapping and the network mode",
            () if self.mac_address.is_some() => "mac-address and the network mode",
            () if self.publish_all || !self.publish.is_empty() => {
                "port publishing and the container type network mode"
            }
            () if !self.expose.is_empty() => "port exposing and the container type network mode",
            () => return Ok(()),
        };
        bail!("conflicting options: {what}")
    }
}

/// `NAME`, or in words: `name=NAME,alias=NAME,ip=ADDRESS,ip6=ADDRESS,mac-address=ADDRESS`.
fn join(text: &str) -> anyhow::Result<Join> {
    let mut join = Join::default();
    if !text.contains('=') {
        let network = if text == "default" { DEFAULT } else { text };
        return Ok(Join { network: network.to_owned(), ..join });
    }
    for part in text.split(',') {
        let (key, value) = part.split_once('=').with_context(|| format!("invalid field {part}"))?;
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => join.network = value.to_owned(),
            "alias" => join.aliases.push(value.to_owned()),
            "ip" => join.address = Some(value.parse().context("invalid IPv4 address")?),
            "ip6" => join.address6 = Some(value.parse().context("invalid IPv6 address")?),
            "mac-address" => join.mac = Some(value.to_owned()),
            key => bail!("invalid field key {key}"),
        }
    }
    match join.network.is_empty() {
        true => bail!("network name/id is not specified"),
        false => Ok(join),
    }
}
