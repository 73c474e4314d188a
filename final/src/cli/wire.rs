//! Options of `run` and `create` that are about networks.

use std::net::IpAddr;

use anyhow::{Context, bail};
use ch04_network::files::{self, Dns};
use clap::Args;

use crate::engine::wire::{Mode, Wire};

/// How it is joined to networks.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Network")]
pub struct WireArgs {
    /// Whose network it is on: none, host, or container:NAME [default: none]
    #[arg(long, alias = "net", value_name = "NETWORK")]
    network: Vec<String>,
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
        let mode = self.mode()?;
        if let Mode::Container(_) = mode {
            self.conflicts(hostname)?;
        }
        let server = |text: &String| {
            text.parse::<IpAddr>().with_context(|| format!("invalid DNS address: {text}"))
        };
        Ok(Wire {
            mode,
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

    fn mode(&self) -> anyhow::Result<Mode> {
        match self.network.as_slice() {
            [] => Ok(Mode::None),
            [one] => match (one.as_str(), one.strip_prefix("container:")) {
                ("none", _) => Ok(Mode::None),
                ("host", _) => Ok(Mode::Host),
                (_, Some("")) => bail!("invalid container format container:<name|id>"),
                (_, Some(name)) => Ok(Mode::Container(name.to_owned())),
                _ => bail!("network {one} not found"),
            },
            _ => bail!(
                "conflicting options: cannot attach both user-defined and non-user-defined \
                 network-modes"
            ),
        }
    }

    /// Who is on another container's network sees its files, too.
    fn conflicts(&self, hostname: bool) -> anyhow::Result<()> {
        let dns = [&self.dns, &self.dns_search, &self.dns_option];
        match () {
            () if hostname => bail!("conflicting options: hostname and the network mode"),
            () if dns.iter().any(|all| !all.is_empty()) => {
                bail!("conflicting options: dns and the network mode")
            }
            () if !self.add_host.is_empty() => {
                bail!("conflicting options: custom host-to-IP mapping and the network mode")
            }
            () => Ok(()),
        }
    }
}
