//! The life of one cgroup: made, limited, entered, frozen, killed, removed.

use std::collections::BTreeMap;
use std::fs::{File, remove_dir};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Instant;

use ch01_clone::error::Context;
use ch01_clone::{Error, Result, step};
use nix::unistd::Pid;

use crate::interface::{read, write};
use crate::limits::Limits;
use crate::stats::{Events, Pressure, Stats};
use crate::tree::{PATIENCE, all_of, procs, remove_tree, unless_gone, wait_for};
use crate::unit::Unit;
use crate::{subtree, v1};

/// One cgroup: the paths of its directories, whether they exist already or not.
///
/// It is plain paths and nothing else, so that another process can go on where
/// this one has stopped: [`paths`](Self::paths) goes into the container's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Its directory in the `cgroup2` hierarchy, or in that of the v1 freezer
    /// where there is no `cgroup2`: it lists the processes.
    pub(crate) dir: PathBuf,
    /// Its directories in v1 hierarchies, where a host still has them. There
    /// they limit and count, while `cgroup2`, if it is there, freezes and kills.
    pub(crate) v1: Option<v1::Cgroup>,
    /// The unit by which systemd makes it, if that is who does.
    pub(crate) unit: Option<Unit>,
    /// The user who may make cgroups below it: a uid.
    pub(crate) owner: Option<u32>,
}

impl Cgroup {
    /// Its directories by controller, `""` for the one of `cgroup2`, as runc records them.
    pub fn paths(&self) -> BTreeMap<String, PathBuf> {
        let mut paths = self.v1.as_ref().map(v1::Cgroup::paths).unwrap_or_default();
        if self.legacy().is_none() {
            paths.insert(String::new(), self.dir.clone());
        }
        paths
    }

    /// The cgroup that [`paths`](Self::paths) was recorded of.
    pub fn from_paths(mut paths: BTreeMap<String, PathBuf>) -> Result<Self> {
        let unified = paths.remove("");
        let v1 = v1::Cgroup::from_paths(paths, unified.is_none());
        let freezer = || v1.as_ref().and_then(v1::Cgroup::freezer);
        let dir = unified.or_else(freezer).ok_or_else(|| Error::new("no path of a cgroup"))?;
        Ok(Self { dir, v1, unit: None, owner: None })
    }

    /// Its directories in v1 hierarchies if there is nothing else.
    pub(crate) fn legacy(&self) -> Option<&v1::Cgroup> {
        self.v1.as_ref().filter(|v1| v1.alone)
    }

    /// Makes it, and sets its limits: then it is there with all of them, or not at all.
    // ANCHOR: create
    pub fn create(&self, limits: &Limits) -> Result<()> {
        // HOLE: 03.1
        let dir = self.dir.display();
        let made = step!(
            "cgroup",
            "A cgroup is a directory. The kernel fills it with files: its limits, \
             its counters, and the list of its processes, which is still empty.",
            "find /sys/fs/cgroup -type d -mmin -1",
            "mkdir({dir})",
            self.make(limits),
        );
        made.and_then(|()| self.update(limits)).inspect_err(|_| self.discard())
        // HOLE_END: 03.1
    }
    // ANCHOR_END: create

    fn make(&self, limits: &Limits) -> Result<()> {
        let Some(v1) = &self.v1 else {
            return subtree::make(&self.dir, &limits.controllers()?);
        };
        if !v1.alone {
            subtree::make_directory(&self.dir)?;
        }
        v1.make()
    }

    /// Leaves nothing of a cgroup that could not be made. One that is not ours
    /// but in use cannot be removed like this.
    pub(crate) fn discard(&self) {
        for dir in self.paths().values() {
            let _ = remove_dir(dir);
        }
        self.prune();
    }

    /// Sets those limits that are given, also while it is in use.
    pub fn update(&self, limits: &Limits) -> Result<()> {
        if !limits.asked() {
            return self.limit_devices(limits);
        }
        let limits = &self.completed(limits)?;
        let values = self.described(limits)?;
        step!(
            "limits",
            "Each limit is a number in one of these files, and holds for all \
             processes of the cgroup together.",
            "find /sys/fs/cgroup -name '*.max' -mmin -1 -exec grep . {} +",
            "write({values})",
            match &self.v1 {
                None => limits.write_to(&self.dir),
                Some(v1) => self.limit_v1(v1, limits),
            },
        )?;
        self.limit_devices(limits)
    }

    /// The directory for `CLONE_INTO_CGROUP`: the child is born here, with no
    /// moment outside. `None` where there is no `cgroup2`.
    pub fn dir(&self) -> Result<Option<OwnedFd>> {
        if self.legacy().is_some() {
            return Ok(None);
        }
        // ANCHOR: dir
        let dir = File::open(&self.dir).call(|| format!("open({:?})", self.dir))?;
        Ok(Some(dir.into()))
        // ANCHOR_END: dir
    }

    /// Moves a process here. Its future children will be here too; those that
    /// it has already stay where they are, and so does the memory it has got.
    // ANCHOR: add
    pub fn add(&self, pid: Pid) -> Result<()> {
        write(&self.dir, "cgroup.procs", &pid.to_string())?;
        self.add_cloned(pid)
    }
    // ANCHOR_END: add

    /// What is left to do for a child that was cloned into [`dir`](Self::dir):
    /// nothing, unless a host has v1 controllers. The child waits meanwhile, or
    /// it would run without limits.
    // ANCHOR: add-cloned
    pub fn add_cloned(&self, pid: Pid) -> Result<()> {
        self.v1.as_ref().map_or(Ok(()), |v1| v1.add(pid))?;
        self.unit.as_ref().map_or(Ok(()), Unit::release)
    }
    // ANCHOR_END: add-cloned

    /// The processes in it and in the cgroups below, by their pids as we see them.
    pub fn procs(&self) -> Result<Vec<Pid>> {
        procs(&self.dir)
    }

    /// Whether a process is in it or in a cgroup below.
    pub fn populated(&self) -> Result<bool> {
        match self.legacy() {
            None => Ok(unless_gone(read(&self.dir, "cgroup.events"))?.contains("populated 1")),
            Some(_) => Ok(!self.procs()?.is_empty()),
        }
    }

    /// Stops all its processes where they are, and waits until they stand still.
    /// They do not notice, but for the time that has passed.
    pub fn freeze(&self) -> Result<()> {
        if let Some(v1) = self.legacy() {
            return v1.freeze();
        }
        // ANCHOR: freeze
        write(&self.dir, "cgroup.freeze", "1")?;
        if wait_for(&self.dir, "frozen 1", Instant::now() + PATIENCE)? {
            return Ok(());
        }
        // ANCHOR_END: freeze
        self.thaw()?;
        Err(Error::new(format!("{:?} did not freeze within {} s", self.dir, PATIENCE.as_secs())))
    }

    /// Lets them go on.
    pub fn thaw(&self) -> Result<()> {
        match self.legacy() {
            None => write(&self.dir, "cgroup.freeze", "0"),
            Some(v1) => v1.thaw(),
        }
    }

    /// Whether they have been stopped like this.
    pub fn frozen(&self) -> Result<bool> {
        match self.legacy() {
            None => Ok(unless_gone(read(&self.dir, "cgroup.freeze"))?.trim() == "1"),
            Some(v1) => v1.frozen(),
        }
    }

    /// Sends SIGKILL to all processes in it and below, at once: none can fork
    /// its way out, and frozen ones die too. If it is gone already, all is well.
    // ANCHOR: kill
    pub fn kill(&self) -> Result<()> {
        match self.legacy() {
            None => unless_gone(write(&self.dir, "cgroup.kill", "1")),
            Some(v1) => v1.kill(),
        }
    }
    // ANCHOR_END: kill

    /// What it has used so far.
    pub fn stats(&self) -> Result<Stats> {
        match &self.v1 {
            None => Stats::read(&self.dir),
            Some(v1) => v1.stats(),
        }
    }

    /// How often a limit was hit.
    pub fn events(&self) -> Result<Events> {
        match &self.v1 {
            None => Events::read(&self.dir),
            Some(v1) => v1.events(),
        }
    }

    /// How long its processes had to wait for what they lacked; `None`: not on this host.
    pub fn pressure(&self) -> Result<Option<Pressure>> {
        Pressure::read(&self.dir)
    }

    /// Removes it and the cgroups below. Processes that were killed need a
    /// moment to be gone; it waits, but not for ever. If it is gone, all is well.
    pub fn remove(&self) -> Result<()> {
        let (dir, deadline) = (self.dir.display(), Instant::now() + PATIENCE);
        step!(
            "remove-cgroup",
            "A cgroup without processes is removed like an empty directory, and \
             its files with it.",
            "find /sys/fs/cgroup -type d -mmin -1",
            "rmdir({dir})",
            all_of([
                // ANCHOR: remove
                remove_tree(&self.dir, deadline),
                self.v1.as_ref().map_or(Ok(()), |v1| v1.remove(deadline)),
                // ANCHOR_END: remove
            ]),
        )
    }

    /// [`remove`](Self::remove), and the parents that have become empty by it. For parents
    /// of our own making: one that a caller gave us is not ours to remove.
    pub fn remove_and_prune(&self) -> Result<()> {
        let removed = self.remove();
        self.prune();
        removed
    }

    fn prune(&self) {
        for dir in self.paths().values() {
            // It ends where others live, and at the top, which cannot be removed.
            let mut parents = dir.ancestors().skip(1);
            while parents.next().is_some_and(|parent| remove_dir(parent).is_ok()) {}
        }
    }
}
