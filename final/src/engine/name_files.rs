//! The files by which the programs of a container find names: made with it, and written at
//! each start in place, for they are mounted in it.

use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ch01_clone::{Context, Result};
use ch04_network::DEFAULT;
use ch04_network::files::{self, Dns};
use ch04_network::resolvers::{self, Resolvers};
use ch06_images::Stack;
use ch06_images::copy_up::stubs::stubs;

use super::Engine;
use super::network::{Place, addresses};
use super::record::{Claim, Record};
use super::wire::{FILES, Mode};

/// What was last written as `/etc/resolv.conf`: who has changed it since keeps it, as with
/// docker.
const WRITTEN: &str = "resolv.conf.written";

/// A layer of the places at which they are mounted: docker's name.
const INIT: &str = "init";

impl Engine {
    /// Makes them, empty, and places for them in a layer between the image and what the
    /// container writes.
    pub(super) fn make_name_files(claim: &Claim, record: &mut Record) -> Result<()> {
        let dir = claim.dir();
        for (name, _) in FILES {
            write(&dir.join(name), "")?;
        }
        let names = FILES.map(|(_, path)| path.trim_start_matches("/etc/"));
        let init = dir.join(INIT);
        if stubs(&Stack::open(&record.plan.layers)?, "etc", &names, &init)? {
            record.plan.layers.insert(0, init);
        }
        Ok(())
    }

    /// Writes them, for a container that is on these networks.
    pub(super) fn write_name_files(
        &self,
        record: &Record,
        hostname: &str,
        places: &[Place],
    ) -> Result<()> {
        let (dir, wire) = (self.container(&record.id), &record.plan.wire);
        if let Mode::Container(_) = wire.mode {
            // It sees those of the other one.
            return Ok(());
        }
        let ways: Vec<_> = places.iter().flat_map(gateways).collect();
        // The default network has no names, as with docker.
        let named = places.iter().filter(|place| place.network.name != DEFAULT);
        let servers: Vec<_> = named.flat_map(gateways).collect();
        let hosts = match wire.mode == Mode::Host && wire.extras.is_empty() {
            true => fs::read_to_string("/etc/hosts").unwrap_or_default(),
            false => files::hosts(&wire.extras, &ways, &addresses(places), hostname),
        };
        write(&dir.join("hosts"), &hosts)?;
        write(&dir.join("hostname"), &format!("{hostname}\n"))?;
        let mut usual = match wire.mode {
            Mode::Host => Dns::read(&fs::read_to_string(resolvers::FILE).unwrap_or_default()),
            _ => elsewhere(self.resolver().filter(|_| !places.is_empty())),
        };
        if !servers.is_empty() {
            usual.servers = servers;
        }
        let text = wire.dns.or(&usual).text();
        let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
        if read("resolv.conf") == read(WRITTEN) {
            write(&dir.join("resolv.conf"), &text)?;
            write(&dir.join(WRITTEN), &text)?;
        }
        Ok(())
    }
}

fn gateways(place: &Place) -> impl Iterator<Item = IpAddr> {
    place.network.ranges.iter().map(|range| range.gateway)
}

/// Whom the host asks, of those who are heard in another network namespace; or `instead`.
fn elsewhere(instead: Option<IpAddr>) -> Dns {
    let found = Resolvers::of_others();
    let servers = match instead {
        Some(server) => vec![server],
        None => found.servers.iter().map(|server| server.ip()).collect(),
    };
    Dns { servers, search: found.search, options: found.options }
}

/// In place: it may be mounted. Everybody may read it, whatever mask the caller has.
fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).call(|| format!("write({path:?})"))?;
    fs::set_permissions(path, Permissions::from_mode(0o644)).call(|| format!("chmod({path:?})"))
}
