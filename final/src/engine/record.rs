//! What is known of a container, on disk, where anybody can read it.
//!
//! Whatever is made is recorded before it is made: a runtime that is killed at
//! any moment leaves a record of what the next one has to clear away. Whoever
//! is responsible for a container holds the lock of its directory for as long
//! as it lives; a lock that nobody holds means that nobody is responsible.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ch01_clone::{Context, Error, Result};
use ch05_lifecycle::Incarnation;
use serde::{Deserialize, Serialize};

use super::health::{Health, HealthCheck, HealthStatus};
use super::wire::Wire;

/// Its file in the container's directory.
const FILE: &str = "state.json";

/// What is known of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// Its name, unique beside it.
    pub name: String,
    /// The name of its image.
    pub image: String,
    /// The digest of its image's configuration.
    pub image_id: String,
    /// What it runs.
    pub command: Vec<String>,
    /// When it was created, in nanoseconds since 1970, as all times here.
    pub created: u64,
    /// Where it stands.
    pub status: Status,
    /// How it is to be run.
    #[serde(default)]
    pub plan: Plan,
    /// When its program was started last; 0: never.
    #[serde(default)]
    pub started: u64,
    /// When its program ended last; 0: never.
    #[serde(default)]
    pub finished: u64,
    /// How often its policy has started it again.
    #[serde(default)]
    pub restarts: u32,
    /// Whether somebody has stopped it: then its policy leaves it alone.
    #[serde(default)]
    pub stopped_by_user: bool,
    /// Whether its processes stand still.
    #[serde(default)]
    pub paused: bool,
    /// How it is, if it is asked for that.
    #[serde(default)]
    pub health: Option<Health>,
    /// What went wrong, if something did.
    #[serde(default)]
    pub error: String,
    /// Whether it is removed when it ends.
    pub auto_remove: bool,
    /// Who sees to it: keeps its terminal, waits for it, removes it.
    pub monitor: Option<Incarnation>,
    /// Its first process, as the host numbers it.
    pub init: Option<Incarnation>,
    /// Its cgroup directories, by hierarchy.
    pub cgroup: BTreeMap<String, PathBuf>,
    /// Its exit status, once it has one.
    pub exit_code: Option<u8>,
    /// Whether the memory limit killed a process of it.
    #[serde(default)]
    pub oom_killed: bool,
}

/// How a container is to be run, each time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The directories of its image's layers, the topmost first.
    pub layers: Vec<PathBuf>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether its program gets an `init` as its parent, which is PID 1.
    #[serde(default)]
    pub init: bool,
    /// Whether its standard input is open.
    pub stdin: bool,
    /// Whether its input ends with the first who was attached to it.
    pub stdin_once: bool,
    /// What to do when it ends.
    pub restart: Policy,
    /// What `stop` sends first: a signal's number.
    pub stop_signal: i32,
    /// How long `stop` waits then, in seconds; negative: for ever.
    pub stop_timeout: Option<i64>,
    /// How its output is kept.
    pub log: LogOptions,
    /// How it is asked whether it is well.
    #[serde(default)]
    pub health: Option<HealthCheck>,
    /// How it is joined to networks.
    #[serde(default)]
    pub wire: Wire,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What its image is to be entered by, as far as the command goes.
    pub entrypoint: Vec<String>,
    /// The volumes, as they were asked for.
    pub binds: Vec<String>,
    /// What is mounted in it besides its root.
    #[serde(default)]
    pub mounts: Vec<Point>,
    /// What the user has said of its program, for an image that is made of it: variables,
    #[serde(default)]
    pub env: Vec<String>,
    /// who it runs as,
    #[serde(default)]
    pub user: Option<String>,
    /// and where.
    #[serde(default)]
    pub workdir: Option<PathBuf>,
}

/// What is mounted in a container, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// `volume`, `bind` or `tmpfs`.
    pub kind: String,
    /// The volume's name.
    pub name: Option<String>,
    /// Whether nobody has named that: it goes with the container.
    pub anonymous: bool,
    /// Where on the host it is.
    pub source: PathBuf,
    /// Where inside it is.
    pub destination: PathBuf,
    /// Whether it can be written to.
    pub writable: bool,
    /// How it was asked for.
    pub mode: String,
}

/// When a container is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Never.
    #[default]
    No,
    /// When it has failed, at most so often (0: always).
    OnFailure(u32),
    /// Always, even after somebody has stopped it and the machine was started anew.
    Always,
    /// Always, but for who has been stopped by somebody.
    UnlessStopped,
}

impl Policy {
    /// Docker's spelling: `no`, `on-failure[:n]`, `always`, `unless-stopped`.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, count) = text.split_once(':').map_or((text, None), |(n, c)| (n, Some(c)));
        match (name, count) {
            ("no" | "", None) => Ok(Self::No),
            ("always", None) => Ok(Self::Always),
            ("unless-stopped", None) => Ok(Self::UnlessStopped),
            ("on-failure", None) => Ok(Self::OnFailure(0)),
            ("on-failure", Some(count)) => count.parse().map(Self::OnFailure).map_err(|_| {
                Error::new(format!("invalid restart policy format: {count:?} is not a number"))
            }),
            ("no" | "always" | "unless-stopped", Some(_)) => Err(Error::new(
                "invalid restart policy: maximum retry count can only be used with 'on-failure'",
            )),
            _ => Err(Error::new(format!(
                "invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', \
                 'on-failure', or 'unless-stopped'"
            ))),
        }
    }

    /// Its name, without a number.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure(_) => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// Whether it starts a container again that nobody has stopped.
    pub fn again(self, code: u8, restarts: u32) -> bool {
        match self {
            Self::No => false,
            Self::OnFailure(most) => code != 0 && (most == 0 || restarts < most),
            Self::Always | Self::UnlessStopped => true,
        }
    }
}

/// How output is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOptions {
    /// Whether it is kept at all.
    pub kept: bool,
    /// How large a file may become, in bytes; 0: as large as it gets.
    pub max_size: u64,
    /// How many files there may be.
    pub max_file: u32,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { kept: true, max_size: 0, max_file: 1 }
    }
}

/// Where a container stands, as the OCI runtime specification names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being made.
    Creating,
    /// Made, and not started yet.
    Created,
    /// Its program has ended and will be started again in a moment.
    Restarting,
    /// Its program runs.
    Running,
    /// Its program has ended.
    Stopped,
    /// Going: whoever removes it has begun.
    Removing,
}

impl Record {
    /// Whether somebody is responsible for it.
    pub fn lives(&self) -> bool {
        matches!(self.status, Status::Running | Status::Restarting)
    }

    /// Whether nothing of it runs, and nothing is to be done about it.
    pub fn at_rest(&self) -> bool {
        matches!(self.status, Status::Created | Status::Stopped)
    }

    /// Its program has ended, and is not asked any more: docker calls that unhealthy.
    pub fn ends(&mut self) {
        self.paused = false;
        if let Some(health) = &mut self.health {
            health.status = HealthStatus::Unhealthy;
        }
    }

    /// Reads the record in a container's directory; `None` if there is none (yet).
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| Error::new(format!("{path:?}: {error}"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).call(|| format!("read({path:?})")),
        }
    }

    /// Writes it: whoever reads sees the old one or the new one, never a part.
    ///
    /// It is not forced to the disk. After a power cut no process of a container
    /// is left, and a record that is missing or empty says that there is only a
    /// directory to remove.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let (path, new) = (dir.join(FILE), dir.join("state.json.new"));
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::new(e.to_string()))?;
        let write = || File::create(&new)?.write_all(&text);
        write().call(|| format!("write({new:?})"))?;
        fs::rename(&new, &path).call(|| format!("rename({new:?}, {path:?})"))
    }
}

/// A container's directory, held by whoever is responsible for it.
#[derive(Debug)]
pub struct Claim {
    dir: PathBuf,
    /// Its lock goes with the descriptor, and so with the process.
    lock: File,
}

impl Claim {
    /// Makes the directory, and holds it.
    pub fn create(dir: PathBuf) -> Result<Self> {
        loop {
            match fs::DirBuilder::new().mode(0o700).create(&dir) {
                // Ours still: the id is random.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                made => made.call(|| format!("mkdir({dir:?})"))?,
            }
            // Between these two somebody who clears away may have taken it for
            // an abandoned one. Then it goes in a moment, and is made again.
            if let Some(claim) = Self::take(&dir)? {
                return Ok(claim);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Holds a directory that nobody is responsible for; `None` if somebody is, or it is gone.
    pub fn take(dir: &Path) -> Result<Option<Self>> {
        let Ok(lock) = File::open(dir) else { return Ok(None) };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if !abandoned(dir) => return Ok(None),
            // Its child at the gate has the lock too, and is about to notice.
            Err(TryLockError::WouldBlock) => return Self::wait(dir, lock),
            Err(TryLockError::Error(error)) => {
                return Err(error).call(|| format!("flock({dir:?})"));
            }
        }
        Ok(Self { dir: dir.to_owned(), lock }.if_there())
    }

    /// The same without a look at why it is held.
    pub fn take_at_once(dir: &Path) -> Result<Option<Self>> {
        let Ok(lock) = File::open(dir) else { return Ok(None) };
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir: dir.to_owned(), lock }.if_there()),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).call(|| format!("flock({dir:?})")),
        }
    }

    fn wait(dir: &Path, lock: File) -> Result<Option<Self>> {
        for _ in 0..200 {
            if lock.try_lock().is_ok() {
                return Ok(Self { dir: dir.to_owned(), lock }.if_there());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(None)
    }

    /// A lock on a directory that has been removed meanwhile is worth nothing.
    fn if_there(self) -> Option<Self> {
        let held = self.lock.metadata().ok()?;
        let there = fs::metadata(&self.dir).ok()?;
        (held.ino() == there.ino()).then_some(self)
    }

    /// The same claim, in another program that was given its lock.
    pub fn inherit(dir: PathBuf, lock: File) -> Self {
        Self { dir, lock }
    }

    /// The descriptor that holds the lock.
    pub fn lock(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Removes the directory and all in it.
    pub fn remove(self) -> Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).call(|| format!("remove({:?})", self.dir))
            }
            _ => Ok(()),
        }
    }
}

/// Whether the monitor in the record has died.
fn abandoned(dir: &Path) -> bool {
    let monitor = Record::load(dir).ok().flatten().and_then(|record| record.monitor);
    monitor.is_some_and(|monitor| !monitor.alive())
}
