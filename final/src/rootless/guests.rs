//! Who is inside: the commands of an ordinary user that have entered a user namespace.
//!
//! A container that lives, or the keeper, shows the next command where to enter. Before
//! there is one it is the commands themselves: of two that are the first at once, the
//! second follows the first, and so both are on the same networks.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use ch01_clone::{Context, Error, Result};
use ch05_lifecycle::Incarnation;
use nix::fcntl::{Flock, FlockArg};

/// Its file, below the root.
const FILE: &str = "inside.json";

/// Those that live. Nobody else enters as long as this is held.
pub struct Guests {
    file: Flock<File>,
    all: Vec<Incarnation>,
}

impl Guests {
    /// Waits until nobody else is about to enter.
    pub fn of(root: &Path) -> Result<Self> {
        let mut dirs = DirBuilder::new();
        dirs.recursive(true).mode(0o700).create(root).call(|| format!("mkdir({root:?})"))?;
        let path = root.join(FILE);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).call(|| format!("open({path:?})"))?;
        let mut file = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| Error::os(format!("flock({path:?})"), errno))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).call(|| format!("read({path:?})"))?;
        // Whoever was killed while writing has entered nowhere.
        let mut all: Vec<Incarnation> = serde_json::from_slice(&text).unwrap_or_default();
        all.retain(|one| one.alive());
        Ok(Self { file, all })
    }

    /// Their pids.
    pub fn pids(&self) -> Vec<i32> {
        self.all.iter().map(|one| one.pid).collect()
    }

    /// One more has entered: whoever comes next may follow it.
    pub fn add(mut self, pid: i32) {
        self.all.extend(Incarnation::of(pid));
        // On a full disk nobody can follow it, and it can make room there.
        let _ = self.write();
    }

    fn write(&mut self) -> std::io::Result<()> {
        let text = serde_json::to_vec(&self.all)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&text)
    }
}
