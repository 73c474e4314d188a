//! How a container is joined to networks: what was asked for, and what that means for its
//! configuration.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use ch01_clone::{Context, Error, Result};
use ch02_chroot::Mount;
use ch04_network::files::{Dns, Extra};
use ch04_network::ports::Publish;
use ch04_network::{DEFAULT, Protocol};
use ch06_images::Image;
use oci_spec::runtime::{LinuxNamespaceBuilder, LinuxNamespaceType, Spec};
use serde::{Deserialize, Serialize};

use super::Engine;
use super::containers::RunOptions;
use super::record::Record;

/// What was asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Wire {
    /// Whose network it is on.
    pub mode: Mode,
    /// The networks that it is on, the first being `eth0`.
    pub joins: Vec<Join>,
    /// Nobody asked for a network: where none can be had, it goes without.
    pub unasked: bool,
    /// What is published of it.
    pub publish: Vec<Publish>,
    /// Whether all that is exposed is published, too, at ports of the host that are free.
    pub publish_all: bool,
    /// What its programs listen on, as it and its image say.
    pub exposed: Vec<(u16, Protocol)>,
    /// Who is asked for addresses, as far as that was said.
    pub dns: Dns,
    /// Lines for `/etc/hosts`.
    pub extras: Vec<Extra>,
}

/// A network that a container is on, and what it shall be there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Join {
    /// The network's name.
    pub network: String,
    /// Names besides its own.
    pub aliases: Vec<String>,
    /// Its address, if not any.
    pub address: Option<Ipv4Addr>,
    /// The same of IPv6.
    pub address6: Option<Ipv6Addr>,
    /// Its hardware address.
    pub mac: Option<String>,
}

/// Whose network a container is on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Its own, from which no way leads out.
    #[default]
    None,
    /// Its own, with wires to one or several bridges.
    Bridges,
    /// The host's.
    Host,
    /// Another container's, by its id.
    Container(String),
}

impl Wire {
    /// As docker says it.
    pub fn mode_text(&self) -> String {
        match &self.mode {
            Mode::None => "none".to_owned(),
            Mode::Bridges => self.joins.first().map_or("none", |join| &join.network).to_owned(),
            Mode::Host => "host".to_owned(),
            Mode::Container(id) => format!("container:{id}"),
        }
    }

    /// Whether the container has a network namespace of its own.
    pub fn is_own(&self) -> bool {
        matches!(self.mode, Mode::None | Mode::Bridges)
    }

    /// All that is to be published.
    pub fn published(&self) -> Vec<Publish> {
        let mut all = self.publish.clone();
        for &(container, protocol) in self.exposed.iter().filter(|_| self.publish_all) {
            let there = |one: &Publish| (one.container, one.protocol) == (container, protocol);
            if !all.iter().any(there) {
                all.push(Publish { protocol, address: None, host: None, container });
            }
        }
        all
    }

    /// The same with what its image exposes.
    pub(super) fn with_image(&self, image: &Image) -> Self {
        let mut wire = self.clone();
        let config = image.config.config().as_ref();
        let exposed = config.and_then(|config| config.exposed_ports().clone()).unwrap_or_default();
        // An image that says nonsense says nothing.
        let exposed = exposed.iter().filter_map(|text| ch04_network::ports::expose(text).ok());
        wire.exposed.extend(exposed.flatten());
        wire.exposed.extend(wire.publish.iter().map(|one| (one.container, one.protocol)));
        wire.exposed.sort_unstable();
        wire.exposed.dedup();
        wire
    }
}

/// The files by which programs find names, in a container's directory and inside.
pub const FILES: [(&str, &str); 3] =
    [("hosts", "/etc/hosts"), ("hostname", "/etc/hostname"), ("resolv.conf", "/etc/resolv.conf")];

impl Engine {
    /// The same options with ids for names: whom a container joins is known from here on.
    pub(super) fn resolved(&self, options: &RunOptions) -> Result<RunOptions> {
        let mut options = options.clone();
        match &mut options.wire.mode {
            Mode::Container(name) => {
                *name = self.find(name)?;
                let path = self.container(name).join("config.json");
                let other = Spec::load(&path);
                let other = other.map_err(|error| Error::new(format!("{path:?}: {error}")))?;
                options.hostname = other.hostname().clone();
            }
            // As docker: who is on the host's network has its name.
            Mode::Host if options.hostname.is_none() => {
                let name = nix::unistd::gethostname().call(|| "gethostname")?;
                options.hostname = Some(name.to_string_lossy().into_owned());
            }
            // The default one is always there.
            Mode::Bridges if options.wire.joins.iter().any(|join| join.network != DEFAULT) => {
                let networks = self.site().lock()?;
                for join in &mut options.wire.joins {
                    join.network = networks.find(&join.network)?.name.clone();
                }
            }
            _ => {}
        }
        Ok(options)
    }

    /// What a container finds at the places of [`FILES`], but for what the user has put there.
    pub(super) fn name_mounts(
        &self,
        options: &RunOptions,
        id: &str,
        user: &[&Mount],
    ) -> Vec<Mount> {
        let owner = if let Mode::Container(id) = &options.wire.mode { id } else { id };
        let dir = self.container(owner);
        let free = |target: &str| !user.iter().any(|mount| mount.target == Path::new(target));
        let files = FILES.iter().filter(|(_, target)| free(target));
        let mounts = files.map(|(name, target)| {
            let mut mount = Mount::bind(dir.join(name), *target);
            mount.attributes.read_only = options.read_only;
            mount
        });
        mounts.collect()
    }

    /// Its configuration for this start: whom it joins has another namespace each time.
    pub(super) fn joined(&self, record: &Record, spec: &Spec) -> Result<Spec> {
        let mut spec = spec.clone();
        let Mode::Container(other) = &record.plan.wire.mode else { return Ok(spec) };
        if *other == record.id {
            return Err(Error::new("cannot join own network namespace"));
        }
        let runs = self.known(other, other).map(|record| self.runs(&record))?;
        let pid = runs.ok_or_else(|| {
            Error::new(format!("cannot join network of a non running container: {other}"))
        })?;
        let namespace = LinuxNamespaceBuilder::default()
            .typ(LinuxNamespaceType::Network)
            .path(format!("/proc/{pid}/ns/net"))
            .build()
            .map_err(|error| Error::new(format!("linux.namespaces: {error}")))?;
        let linux = spec.linux_mut().as_mut();
        let namespaces = linux.and_then(|linux| linux.namespaces_mut().as_mut());
        namespaces.ok_or_else(|| Error::new("config.json has no namespaces"))?.push(namespace);
        Ok(spec)
    }
}
