//! Networks: who is on them is written in their leases, which chapter 4 keeps; here they
//! begin and end with a container's life.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;

use ch01_clone::{Context, Error, Result, steps};
use ch04_network::choice::choose;
use ch04_network::explain::explain;
use ch04_network::{Ask, Lease, Network, Networks, Port, Site};
use nix::errno::Errno;

use super::record::{Record, Status};
use super::wire::{Join, Mode};
use super::{Engine, mark};
use crate::shim::wire::Change;

/// A container's place on a network.
pub struct Place {
    /// The network.
    pub network: Network,
    /// What it has there.
    pub lease: Lease,
}

impl Engine {
    /// Where networks are kept, and how their links and tables are called.
    pub fn site(&self) -> Site {
        site_of(&self.root)
    }

    /// Who is on which network; of each container in the order in which it was joined.
    pub fn places(&self) -> Result<Vec<Place>> {
        let site = self.site();
        if !site.dir.exists() {
            return Ok(Vec::new());
        }
        places_of(&site.lock()?, None)
    }

    /// In its gate a container waits: it gets its wires, and its files tell of them.
    pub(super) fn attach(&self, record: &Record, hostname: &str, pid: i32) -> Result<()> {
        let wire = &record.plan.wire;
        if wire.mode != Mode::Bridges {
            return self.write_name_files(record, hostname, &[]);
        }
        let netns = namespace(pid)?;
        let mut networks = self.site().lock()?;
        // What an earlier life has left.
        self.release(&mut networks, record)?;
        let mut ports = self.ports(record, &networks)?;
        let mut asks = Vec::new();
        for join in &wire.joins {
            let internal = networks.find(&join.network)?.internal;
            let ports = if internal { Vec::new() } else { std::mem::take(&mut ports) };
            asks.push(ask(record, join, ports));
        }
        let attach = |networks: &mut Networks| {
            networks.attach(netns.as_fd(), &asks)?;
            networks.notes().iter().for_each(|note| eprintln!("dockster: {note}"));
            Ok(())
        };
        // Whoever helps with it is not whom the steps are about.
        let attached = steps::aside(|| self.on_the_wire(&mut networks, attach));
        let attached = match attached {
            Err(error) if wire.unasked && impossible(&error) => {
                eprintln!("dockster: it has no network here: {error}");
                self.release(&mut networks, record)
            }
            done => done.and_then(|()| self.tell_no_way_out(!wire.unasked)),
        };
        let places = attached.and_then(|()| places_of(&networks, Some(&record.id)));
        drop(networks);
        places.and_then(|places| self.write_name_files(record, hostname, &places)).inspect_err(
            |_| {
                // The error is told; what cannot be given back now the next sweep tries again.
                let _ = self.detach(record);
            },
        )
    }

    /// Ports of the host for what is published.
    fn ports(&self, record: &Record, networks: &Networks) -> Result<Vec<Port>> {
        let published = record.plan.wire.published();
        if published.is_empty() {
            return Ok(Vec::new());
        }
        let mut taken = Vec::new();
        for network in networks.list() {
            taken.extend(networks.leases(network)?.iter().flat_map(|lease| lease.ports.clone()));
        }
        choose(&published, &taken)
    }

    /// Its life has ended: what it had is given back.
    pub(super) fn detach(&self, record: &Record) -> Result<()> {
        match record.plan.wire.mode {
            Mode::Bridges => self.release(&mut self.site().lock()?, record),
            _ => Ok(()),
        }
    }

    fn release(&self, networks: &mut Networks, record: &Record) -> Result<()> {
        match places_of(networks, Some(&record.id))?.is_empty() {
            true => Ok(()),
            false => self.on_the_wire(networks, |networks| networks.detach(&record.id)),
        }
    }

    /// Gives back what those have who do not live: whoever should have done so was killed.
    pub(super) fn sweep_networks(&self) -> Result<()> {
        let site = self.site();
        if !site.dir.exists() {
            return Ok(());
        }
        let alive = |id: &str| {
            let record = Record::load(&self.container(id)).unwrap_or(None);
            record.is_some_and(|record| record.status == Status::Running)
        };
        let mut networks = site.lock()?;
        match places_of(&networks, None)?.iter().all(|place| alive(&place.lease.container)) {
            true => Ok(()),
            false => self.on_the_wire(&mut networks, |networks| networks.sweep(alive)),
        }
    }

    /// Makes all links and rules anew that are missing: somebody has flushed them.
    pub fn reload(&self) -> Result<()> {
        self.on_the_wire(&mut self.site().lock()?, Networks::reload)
    }

    /// Shows the way of a packet as the kernel has it now: of a network, or of one container
    /// on each network that it is on.
    pub fn explain(&self, text: &str, mut show: impl FnMut(&str)) -> Result<()> {
        let container = self.find(text);
        let mut networks = self.site().lock()?;
        // Before anything is started for it: there may be none.
        let ways = match (networks.find(text), container) {
            (Ok(network), _) => vec![(network.clone(), networks.leases(network)?.to_vec())],
            (Err(error), Err(_)) => return Err(error),
            (Err(_), Ok(id)) => ways_of(places_of(&networks, Some(&id))?, text)?,
        };
        let prefix = self.site().prefix;
        self.on_the_wire(&mut networks, |_| {
            ways.iter().try_for_each(|(network, leases)| {
                explain(&prefix, network, leases).map(|way| show(&way))
            })?;
            self.no_way_out().into_iter().for_each(|reason| {
                show(&format!("\nfrom here nobody outside is reached: {reason}\n"));
            });
            Ok(())
        })
    }

    /// Puts a container on one more network, at once if it runs.
    pub fn connect(&self, text: &str, join: Join) -> Result<()> {
        let id = self.find(text)?;
        let record = self.known(&id, text)?;
        let mut wire = record.plan.wire.clone();
        let name = &record.name;
        if !wire.is_own() {
            return Err(Error::new(format!(
                "container sharing network namespace with another container or host cannot be \
                 connected to any other network ({name})"
            )));
        }
        let mut networks = self.site().lock()?;
        let join = Join { network: networks.find(&join.network)?.name.clone(), ..join };
        if wire.joins.iter().any(|other| other.network == join.network) {
            let network = &join.network;
            return Err(Error::new(format!(
                "endpoint with name {name} already exists in network {network}"
            )));
        }
        if let Some(pid) = self.runs(&record) {
            let (netns, asks) = (namespace(pid)?, [ask(&record, &join, Vec::new())]);
            let attach = |networks: &mut Networks| networks.attach(netns.as_fd(), &asks).map(drop);
            self.on_the_wire(&mut networks, attach)?;
            self.tell_no_way_out(true)?;
        }
        drop(networks);
        (wire.mode, wire.unasked) = (Mode::Bridges, false);
        wire.joins.push(join);
        self.change(&record, &Change { wire: Some(wire), ..Change::default() })
    }

    /// Takes a container off a network; with `force` also one of which there is no more than
    /// its lease.
    pub fn disconnect(&self, network: &str, text: &str, force: bool) -> Result<()> {
        let id = match self.find(text) {
            Err(_) if force => {
                let disconnect = |networks: &mut Networks| networks.disconnect(network, text, None);
                return self.on_the_wire(&mut self.site().lock()?, disconnect);
            }
            found => found?,
        };
        let record = self.known(&id, text)?;
        let mut wire = record.plan.wire.clone();
        let mut networks = self.site().lock()?;
        let network = networks.find(network)?.name.clone();
        if !wire.joins.iter().any(|join| join.network == network) {
            return Err(Error::new(format!(
                "container {id} is not connected to network {network}"
            )));
        }
        if let Some(pid) = self.runs(&record) {
            let netns = namespace(pid)?;
            let disconnect =
                |networks: &mut Networks| networks.disconnect(&network, &id, Some(netns.as_fd()));
            self.on_the_wire(&mut networks, disconnect)?;
        }
        drop(networks);
        wire.joins.retain(|join| join.network != network);
        if wire.joins.is_empty() {
            wire.mode = Mode::None;
        }
        self.change(&record, &Change { wire: Some(wire), ..Change::default() })
    }
}

/// Where networks of this root are kept, and how their links and tables are called.
pub fn site_of(root: &Path) -> Site {
    let prefix = mark(root).map_or("dockster".to_owned(), |mark| format!("dk{mark}"));
    Site::new(root.join("networks"), prefix)
}

/// Whether it is this kernel, or what we may do here, that allows no such thing at all.
fn impossible(error: &Error) -> bool {
    use Errno::{EACCES, EAFNOSUPPORT, ENOENT, ENOSYS, EOPNOTSUPP, EPERM, EPROTONOSUPPORT, EROFS};
    let missing = [ENOENT, ENOSYS, EAFNOSUPPORT, EOPNOTSUPP, EPROTONOSUPPORT];
    let forbidden = [EACCES, EPERM, EROFS];
    error.errno.is_some_and(|errno| missing.contains(&errno) || forbidden.contains(&errno))
}

fn ask(record: &Record, join: &Join, ports: Vec<Port>) -> Ask {
    let mut aliases = join.aliases.clone();
    // As docker: others on the network may say the beginning of its id.
    aliases.push(record.id[..12].to_owned());
    Ask {
        network: join.network.clone(),
        container: record.id.clone(),
        name: record.name.clone(),
        aliases,
        address: join.address,
        address6: join.address6,
        mac: join.mac.clone(),
        ports,
    }
}

fn namespace(pid: i32) -> Result<File> {
    let path = format!("/proc/{pid}/ns/net");
    File::open(&path).call(|| format!("open({path:?})"))
}

/// Who is on which network, or where one container is; of each in the order in which it was
/// joined.
fn places_of(networks: &Networks, container: Option<&str>) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for network in networks.list() {
        let leases = networks.leases(network)?;
        let theirs = leases.iter().filter(|l| container.is_none_or(|id| id == l.container));
        let place = |lease: &Lease| Place { network: network.clone(), lease: lease.clone() };
        places.extend(theirs.map(place));
    }
    places.sort_by(|one, other| one.lease.interface.cmp(&other.lease.interface));
    Ok(places)
}

/// Each network with the container alone on it.
fn ways_of(places: Vec<Place>, text: &str) -> Result<Vec<(Network, Vec<Lease>)>> {
    if places.is_empty() {
        return Err(Error::new(format!("container {text} is on no network now")));
    }
    Ok(places.into_iter().map(|place| (place.network, vec![place.lease])).collect())
}

/// All addresses of these places.
pub fn addresses(places: &[Place]) -> Vec<IpAddr> {
    places.iter().flat_map(|place| &place.lease.addresses).map(|net| net.addr()).collect()
}
