//! Ids and names of containers.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;

use ch01_clone::{Context, Error, Result};

use super::Engine;

const LEFT: [&str; 24] = [
    "agile", "amber", "brave", "bright", "calm", "clever", "cosy", "eager", "fair", "gentle",
    "happy", "honest", "jolly", "keen", "kind", "lively", "merry", "neat", "noble", "proud",
    "quick", "quiet", "sunny", "wise",
];
const RIGHT: [&str; 24] = [
    "anchor", "barge", "beacon", "bollard", "buoy", "canal", "captain", "crane", "deck", "dock",
    "ferry", "harbour", "helm", "keel", "lantern", "mast", "mooring", "pier", "pilot", "quay",
    "rudder", "sail", "tide", "wharf",
];

/// 64 random hexadecimal digits, as docker's ids.
pub fn new_id() -> Result<String> {
    Ok(random::<32>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .call(|| "read(/dev/urandom)")?;
    Ok(bytes)
}

/// Docker's rule for names: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub fn check(name: &str) -> Result<()> {
    let rest = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    match first && name.len() > 1 && name.len() <= 128 && name.chars().all(rest) {
        true => Ok(()),
        false => Err(Error::new(format!(
            "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        ))),
    }
}

impl Engine {
    /// A name that nobody is likely to have.
    pub(super) fn invent_name(&self) -> Result<String> {
        loop {
            let [a, b, c, d] = random::<4>()?;
            let name =
                format!("{}_{}", LEFT[a as usize % LEFT.len()], RIGHT[b as usize % RIGHT.len()]);
            let name = match self.owner_of(&name) {
                None => name,
                Some(_) => format!("{name}{}", u16::from_le_bytes([c, d])),
            };
            if self.owner_of(&name).is_none() {
                return Ok(name);
            }
        }
    }

    /// The id of the container that has this name: names are links to ids.
    pub(super) fn owner_of(&self, name: &str) -> Option<String> {
        let link = fs::read_link(self.root.join("names").join(name)).ok()?;
        Some(link.to_string_lossy().into_owned())
    }

    /// Gives a container a name: of two who want the same one gets it, and the other `false`.
    pub(super) fn take_name(&self, name: &str, id: &str) -> Result<bool> {
        let link = self.root.join("names").join(name);
        match symlink(id, &link) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            done => done.call(|| format!("symlink({link:?})")).map(|()| true),
        }
    }

    /// Docker's sentence for who did not get the name.
    pub(super) fn conflict(&self, name: &str) -> Error {
        let owner = self.owner_of(name).unwrap_or_default();
        Error::new(format!(
            "Conflict. The container name \"/{name}\" is already in use by container \
             \"{owner}\". You have to remove (or rename) that container to be able to reuse \
             that name."
        ))
        .hint(format!("dockster rm {name}"))
    }

    /// Takes a container's name back, if it is (still) its own.
    pub(super) fn free_name(&self, name: &str, id: &str) -> Result<()> {
        if self.owner_of(name).as_deref() != Some(id) {
            return Ok(());
        }
        match fs::remove_file(self.root.join("names").join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).call(|| format!("unlink(names/{name})"))
            }
            _ => Ok(()),
        }
    }

    /// The id that a user means: a name, or the beginning of one id only.
    pub fn find(&self, text: &str) -> Result<String> {
        if let Some(id) = self.owner_of(text) {
            return Ok(id);
        }
        let mut ids: Vec<_> = self.ids()?.into_iter().filter(|id| id.starts_with(text)).collect();
        match (ids.pop(), ids.is_empty()) {
            (Some(id), true) if !text.is_empty() => Ok(id),
            (Some(_), false) => {
                Err(Error::new(format!("Multiple IDs found with provided prefix: {text}")))
            }
            _ => Err(Error::new(format!("No such container: {text}"))),
        }
    }

    /// All ids, in no order.
    pub(super) fn ids(&self) -> Result<Vec<String>> {
        let dir = self.root.join("containers");
        let entries = fs::read_dir(&dir).call(|| format!("read({dir:?})"))?;
        Ok(entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect())
    }
}
