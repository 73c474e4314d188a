//! Catalogue: not needed to understand the chapter.
//!
//! The networks of one Dockster, as they are written down: made, found, removed.
//!
//! ```text
//! DIR/                      flock(2): who changes anything holds this
//! └── web/                  one network
//!     ├── network.json      its bridge, its addresses
//!     └── leases.json       who is on it
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::SystemTime;

use ch01_clone::{Context, Error, Result};
use ipnet::IpNet;
use nix::fcntl::{Flock, FlockArg};

use crate::lease::Lease;
use crate::network::Network;
use crate::store;
use crate::{host, settings};

/// The network that is always there.
pub const DEFAULT: &str = "bridge";

/// Where a Dockster keeps its networks, and how its links and its table begin.
#[derive(Debug, Clone)]
pub struct Site {
    /// The directory; made when it is not there.
    pub dir: PathBuf,
    /// `dockster`: the default network's bridge is `dockster0`, the table `inet dockster`.
    /// Whoever uses another directory on the same host uses another prefix.
    pub prefix: String,
    /// Where all Docksters of the same network namespace write down what they have changed for
    /// all of it; empty after a boot. It is not `dir` itself.
    pub common: PathBuf,
}

/// The networks under their lock: as long as this lives, nobody else changes them.
#[derive(Debug)]
pub struct Networks {
    pub(crate) site: Site,
    _lock: Flock<File>,
    networks: Vec<Network>,
    /// Leases that were read or written, by their network's id.
    pub(crate) read: RefCell<HashMap<String, Rc<[Lease]>>>,
    pub(crate) notes: Vec<String>,
}

/// A network to be made.
#[derive(Debug, Clone, Default)]
pub struct New {
    /// Docker's rule for names: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
    pub name: String,
    /// At most one IPv4 and one IPv6; what is not given is chosen.
    pub subnets: Vec<IpNet>,
    /// The bridge's address in one of them, if not the first.
    pub gateways: Vec<IpAddr>,
    /// With IPv6 addresses, too. A subnet of IPv6 says so by itself.
    pub ipv6: bool,
    /// No way leads out.
    pub internal: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

impl Site {
    /// The usual one: root shares `/run/dockster` with others on the machine, and whoever has
    /// a network namespace of their own keeps that in `dir`, too.
    pub fn new(dir: PathBuf, prefix: String) -> Site {
        Site { common: host::common(&dir), dir, prefix }
    }

    /// Waits until nobody else is at it. The default network is made if it is not there.
    pub fn lock(&self) -> Result<Networks> {
        settings::check_name(&format!("{}0", self.prefix))?;
        let lock = self.flock()?;
        let mut networks = Networks {
            networks: self.read()?,
            site: self.clone(),
            _lock: lock,
            read: RefCell::default(),
            notes: Vec::new(),
        };
        if networks.named(DEFAULT).is_none() {
            networks.create(New { name: DEFAULT.to_owned(), ..New::default() })?;
        }
        Ok(networks)
    }

    /// The directory itself is the lock. Whoever had it before may have removed it: then it is
    /// not the one that others find under its name.
    fn flock(&self) -> Result<Flock<File>> {
        let open = || format!("open({:?})", self.dir);
        // ANCHOR: flock
        loop {
            store::directory(&self.dir)?;
            let dir = File::open(&self.dir).call(open)?;
            let lock = Flock::lock(dir, FlockArg::LockExclusive)
                .map_err(|(_, errno)| Error::os(format!("flock({:?})", self.dir), errno))?;
            let locked = lock.metadata().call(open)?;
            if fs::metadata(&self.dir).is_ok_and(|found| found.ino() == locked.ino()) {
                return Ok(lock);
            }
        }
        // ANCHOR_END: flock
    }

    /// What is written down. A directory without its file is one that somebody did not
    /// finish making, or removing: it is removed.
    fn read(&self) -> Result<Vec<Network>> {
        let mut networks = Vec::new();
        let entries = fs::read_dir(&self.dir).call(|| format!("open({:?})", self.dir))?;
        for entry in entries {
            let entry = entry.call(|| format!("getdents({:?})", self.dir))?;
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if hidden || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            match store::read(&entry.path().join("network.json"))? {
                Some(network) => networks.push(network),
                None => store::remove(&entry.path())?,
            }
        }
        networks.sort_by(|one: &Network, other| one.name.cmp(&other.name));
        Ok(networks)
    }
}

impl Networks {
    /// All of them, by name.
    pub fn list(&self) -> &[Network] {
        &self.networks
    }

    /// What whoever asked should be told: that a default was not to be had.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The one with this name or id, or whose id alone begins like this.
    pub fn find(&self, text: &str) -> Result<&Network> {
        if let Some(network) =
            self.named(text).or_else(|| self.list().iter().find(|n| n.id == text))
        {
            return Ok(network);
        }
        let mut like = self.list().iter().filter(|n| !text.is_empty() && n.id.starts_with(text));
        match (like.next(), like.count()) {
            (Some(network), 0) => Ok(network),
            (Some(_), more) => Err(Error::new(format!(
                "network {text} is ambiguous ({} matches found based on ID prefix)",
                more + 1
            ))),
            (None, _) => Err(Error::new(format!("network {text} not found"))),
        }
    }

    /// A clone of this process has changed who is on them.
    pub fn read_again(&mut self) {
        self.read.get_mut().clear();
    }

    /// Removes all that is written down, if nobody is on any network.
    pub fn forget(self) -> Result<()> {
        for network in self.list() {
            if !self.leases(network)?.is_empty() {
                return Ok(());
            }
        }
        store::remove(&self.site.dir)
    }

    fn named(&self, name: &str) -> Option<&Network> {
        self.list().iter().find(|network| network.name == name)
    }

    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        self.site.dir.join(name)
    }

    /// Makes a network: from now on it can be found. Its bridge comes with the first on it.
    pub fn create(&mut self, new: New) -> Result<Network> {
        settings::check_network(&new.name)?;
        if self.named(&new.name).is_some() {
            return Err(Error::new(format!("network with name {} already exists", new.name)));
        }
        let id = store::random::<32>()?;
        let bridge = match new.name.as_str() {
            DEFAULT => format!("{}0", self.site.prefix),
            _ => format!("dk-{}", &id[..12]),
        };
        let network = Network {
            ranges: self.ranges(&new, &id)?,
            created: now(),
            name: new.name,
            internal: new.internal,
            labels: new.labels,
            id,
            bridge,
        };
        let dir = self.dir(&network.name);
        store::directory(&dir)?;
        store::write(&dir.join("network.json"), &network, true)?;
        self.networks.push(network.clone());
        self.networks.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(network)
    }

    /// Removes a network that nobody is on, so that it has no bridge either.
    pub fn remove(&mut self, text: &str) -> Result<Network> {
        let network = self.find(text)?.clone();
        if network.name == DEFAULT {
            let name = &network.name;
            return Err(Error::new(format!(
                "{name} is a pre-defined network and cannot be removed"
            )));
        }
        let leases = self.leases(&network)?;
        if !leases.is_empty() {
            let names: Vec<_> = leases.iter().map(|lease| lease.name.as_str()).collect();
            let (name, names) = (&network.name, names.join(", "));
            return Err(Error::new(format!("network {name} has active endpoints ({names})")));
        }
        let dir = self.dir(&network.name);
        let file = dir.join("network.json");
        // First that which makes it a network: what is left else is nobody's.
        fs::remove_file(&file).call(|| format!("unlink({file:?})"))?;
        store::remove(&dir)?;
        self.networks.retain(|other| other.id != network.id);
        Ok(network)
    }
}

fn now() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or_default()
}
