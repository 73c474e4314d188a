//! Catalogue: not needed to understand the chapter.
//!
//! What is written down of networks and leases, as who serves them reads it: through a
//! descriptor of the directory, and again only when it was written anew.
//!
//! Files come by rename. The one that was read last is kept open, so that no other can
//! get its inode number: the same number is the same file.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use ch01_clone::{Context, Error, Result};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat, fstat, open, openat, statat};
use serde::de::DeserializeOwned;

use crate::{DEFAULT, Lease, Network};

/// The directory of all networks: `ROOT/networks`.
#[derive(Debug)]
pub(crate) struct Known {
    dir: OwnedFd,
    places: BTreeMap<String, Place>,
    listed: Option<Stamp>,
}

/// A network, and who is on it.
#[derive(Debug)]
pub(crate) struct Place {
    /// `NAME/leases.json`.
    file: String,
    read: Option<(Stamp, File)>,
    pub(crate) network: Option<Network>,
    pub(crate) leases: Vec<Lease>,
    /// Which leases have a name, in small letters.
    names: HashMap<String, Vec<usize>>,
    addresses: HashMap<IpAddr, usize>,
}

/// Two files with the same one are the same file, as long as one of them is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

impl From<Stat> for Stamp {
    fn from(stat: Stat) -> Self {
        let modified = (stat.st_mtime, stat.st_mtime_nsec as i64);
        Stamp { device: stat.st_dev, inode: stat.st_ino, modified }
    }
}

impl Known {
    /// Opens `dir`; what is in it is read when it is asked for.
    pub(crate) fn open(dir: &Path) -> Result<Known> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = open(dir, flags, Mode::empty()).map_err(std::io::Error::from);
        let dir = dir.call(|| "open(the directory of networks)")?;
        Ok(Known { dir, places: BTreeMap::new(), listed: None })
    }

    /// The directory itself, which is also the lock.
    pub(crate) fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// The network of this name as it is now written, if there is one.
    pub(crate) fn place(&mut self, name: &str) -> Option<&Place> {
        if !self.places.contains_key(name) {
            self.list();
        }
        let place = self.places.get_mut(name)?;
        place.refresh(&self.dir);
        place.network.is_some().then_some(&*place)
    }

    /// All networks as they are now written.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = &Place> {
        self.list();
        self.places.values_mut().for_each(|place| place.refresh(&self.dir));
        self.places.values().filter(|place| place.network.is_some())
    }

    fn list(&mut self) {
        let now = fstat(&self.dir).ok().map(Stamp::from);
        if now.is_some() && now == self.listed {
            return;
        }
        // Taken before: what comes meanwhile is seen the next time.
        self.listed = now;
        let names = names(&self.dir).unwrap_or_default();
        self.places.retain(|name, _| names.contains(name));
        for name in names {
            let file = format!("{name}/leases.json");
            self.places.entry(name).or_insert_with(|| Place::new(file));
        }
    }
}

impl Place {
    fn new(file: String) -> Place {
        let (names, addresses) = (HashMap::new(), HashMap::new());
        Place { file, read: None, network: None, leases: Vec::new(), names, addresses }
    }

    /// The leases that go by `name`, which is in small letters.
    pub(crate) fn named(&self, name: &str) -> impl Iterator<Item = &Lease> {
        self.names.get(name).into_iter().flatten().map(|at| &self.leases[*at])
    }

    /// Whose address this is.
    pub(crate) fn of_address(&self, address: IpAddr) -> Option<&Lease> {
        self.addresses.get(&address).map(|at| &self.leases[*at])
    }

    /// Whether containers find each other here by name: as with docker, not on the
    /// network that is always there.
    pub(crate) fn has_names(&self) -> bool {
        self.network.as_ref().is_some_and(has_names)
    }

    /// Reads the files again if they are others than before.
    fn refresh(&mut self, dir: &OwnedFd) {
        let now = statat(dir, &self.file, AtFlags::SYMLINK_NOFOLLOW).ok().map(Stamp::from);
        if now.is_some() && now == self.read.as_ref().map(|(stamp, _)| *stamp) {
            return;
        }
        match self.read_again(dir) {
            Ok(()) => self.index(),
            // It is being made, or being removed: nobody is on it.
            Err(_) => *self = Place::new(std::mem::take(&mut self.file)),
        }
    }

    fn read_again(&mut self, dir: &OwnedFd) -> Result<()> {
        self.network = Some(parse(&self.file.replace("leases.json", "network.json"), dir)?.1);
        let Ok(file) = open_file(dir, &self.file) else {
            self.read = None;
            self.leases.clear();
            return Ok(());
        };
        let stamp = fstat(&file).map_err(std::io::Error::from).call(|| "fstat(leases.json)")?;
        let (file, leases) = parse_file(file, &self.file)?;
        self.leases = leases;
        self.read = Some((stamp.into(), file));
        Ok(())
    }

    fn index(&mut self) {
        self.names.clear();
        self.addresses.clear();
        for (at, lease) in self.leases.iter().enumerate() {
            self.addresses.extend(lease.addresses.iter().map(|address| (address.addr(), at)));
            for name in names_of(lease) {
                let all = self.names.entry(name).or_default();
                if all.last() != Some(&at) {
                    all.push(at);
                }
            }
        }
    }
}

/// As [`Place::has_names`].
pub(crate) fn has_names(network: &Network) -> bool {
    network.name != DEFAULT
}

/// The names by which others find a container: its own, the first twelve digits of its
/// id, and its aliases. A name in the DNS is the same in small and in large letters.
fn names_of(lease: &Lease) -> impl Iterator<Item = String> {
    let id = lease.container.get(..12).unwrap_or(&lease.container);
    let others = lease.aliases.iter().map(String::as_str);
    [lease.name.as_str(), id].into_iter().chain(others).map(str::to_ascii_lowercase)
}

/// Networks are the directories whose names begin with a letter or a digit.
fn names(dir: &OwnedFd) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir.as_fd()).map_err(std::io::Error::from).call(|| "getdents64")? {
        let entry = entry.map_err(std::io::Error::from).call(|| "getdents64")?;
        let name = String::from_utf8_lossy(entry.file_name().to_bytes()).into_owned();
        if name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            names.push(name);
        }
    }
    Ok(names)
}

fn open_file(dir: &OwnedFd, path: &str) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(dir, path, flags, Mode::empty()).map_err(std::io::Error::from);
    file.map(File::from).call(|| format!("open({path})"))
}

fn parse<T: DeserializeOwned>(path: &str, dir: &OwnedFd) -> Result<(File, T)> {
    parse_file(open_file(dir, path)?, path)
}

fn parse_file<T: DeserializeOwned>(mut file: File, path: &str) -> Result<(File, T)> {
    let mut text = Vec::new();
    file.read_to_end(&mut text).call(|| format!("read({path})"))?;
    let value = serde_json::from_slice(&text).map_err(|e| Error::new(format!("{path}: {e}")))?;
    Ok((file, value))
}
