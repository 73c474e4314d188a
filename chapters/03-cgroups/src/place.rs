//! Catalogue: not needed to understand the chapter.
//!
//! Where an OCI configuration wants its cgroup (`linux.cgroupsPath`), and how one is
//! made there: parents that are missing are made, and one that is there and empty is
//! taken over. Nothing above it is removed with it.

use std::collections::{BTreeMap, HashMap};
use std::fs::{create_dir, read_dir, read_to_string, remove_dir};
use std::io::ErrorKind;
use std::os::unix::fs::chown;
use std::path::{Component, Path, PathBuf};

use ch01_clone::error::Context;
use ch01_clone::{Error, Result, step};
use nix::errno::Errno;
use nix::unistd::Pid;

use crate::devices::privileged;
use crate::hierarchy::writable;
use crate::interface::{read, read_if_any};
use crate::mounts::Mount;
use crate::subtree::{self, holds_strangers};
use crate::tree::procs;
use crate::unit::Unit;
use crate::{Cgroup, Hierarchy, Limits};

/// How often a parent may vanish under our hands before we give up.
const ATTEMPTS: usize = 100;

impl Hierarchy {
    /// The place that a configuration names. A path that begins with `/` lies below the
    /// top of each hierarchy; another one, or `name` where there is none,
    /// lies where we may make cgroups. `None` where we may not, and need none, because
    /// nothing is limited. Nothing is made.
    pub fn place(
        &self,
        path: Option<&Path>,
        name: &str,
        limits: &Limits,
    ) -> Result<Option<Cgroup>> {
        let given = path.filter(|path| !path.as_os_str().is_empty());
        let below = clean(given.unwrap_or(Path::new(name)));
        if below.as_os_str().is_empty() {
            return Err(Error::new("linux.cgroupsPath is the root of all cgroups"));
        }
        if given.is_some_and(Path::is_absolute) {
            return self.below(&self.top, &below).map(Some);
        }
        match self.our_place() {
            Some(base) => self.below(&base, &below).map(Some),
            None if given.is_none() && !limits.asked() => Ok(None),
            None => Err(self.not_delegated()),
        }
    }

    /// The scope that systemd will make, from `slice:prefix:name`. Nothing is made.
    pub fn scope(
        &self,
        path: Option<&str>,
        id: &str,
        annotations: &HashMap<String, String>,
    ) -> Result<Cgroup> {
        let unit = Unit::parse(path, id, annotations)?;
        let cgroup = self.below(&self.top, &unit.path()?)?;
        Ok(Cgroup { unit: Some(unit), ..cgroup })
    }

    fn below(&self, base: &Path, path: &Path) -> Result<Cgroup> {
        let mut paths = BTreeMap::new();
        if self.unified {
            paths.insert(String::new(), base.join(path));
        }
        if let Some(v1) = &self.v1 {
            paths.extend(v1.all_paths(path));
        }
        Cgroup::from_paths(paths)
    }

    /// A directory in which our cgroups can get controllers; else one without.
    fn our_place(&self) -> Option<PathBuf> {
        let base = self.base.as_deref()?;
        if self.v1.is_some() || !holds_strangers(base).unwrap_or(true) {
            return Some(base.to_owned());
        }
        // Whoever called us sits in our own: the one above may be delegated, too.
        let above = base.parent().filter(|above| above.starts_with(&self.top) && writable(above));
        let above = above.filter(|above| !holds_strangers(above).unwrap_or(true));
        Some(above.unwrap_or(base).to_owned())
    }

    /// Removes the cgroups in `parent` whose makers are gone, says `abandoned` of their
    /// names, and that hold nobody.
    pub fn sweep(&self, parent: &str, abandoned: impl Fn(&str) -> bool) {
        let Some(base) = &self.base else { return };
        let mut dirs: Vec<_> = self.unified.then(|| base.join(parent)).into_iter().collect();
        dirs.extend(self.v1.iter().flat_map(|v1| v1.paths(Path::new(parent)).into_values()));
        for entry in dirs.iter().filter_map(|dir| read_dir(dir).ok()).flatten().flatten() {
            if abandoned(&entry.file_name().to_string_lossy()) {
                let _ = remove_dir(entry.path());
            }
        }
    }
}

/// A path that stays where it is put, whatever is in it.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    clean
}

impl Cgroup {
    /// Makes it, or takes over one that is there and empty, and sets its limits. If that
    /// fails, nothing is left of what was made. Unlike [`create`](Self::create) it does
    /// not replace what somebody else has prepared.
    pub fn provide(&self, limits: &Limits) -> Result<()> {
        let (dir, mut made) = (self.dir.display(), Vec::new());
        let provided = step!(
            "cgroup",
            "A cgroup is a directory. The kernel fills it with files: its limits, \
             its counters, and the list of its processes, which is still empty.",
            "find /sys/fs/cgroup -type d -mmin -1",
            "mkdir({dir})",
            self.make_or_join(limits, &mut made),
        );
        provided.and_then(|()| self.update(limits)).inspect_err(|_| {
            let _ = self.unit.as_ref().map(Unit::release);
            for dir in made.iter().rev() {
                let _ = remove_dir(dir);
            }
        })
    }

    fn make_or_join(&self, limits: &Limits, made: &mut Vec<PathBuf>) -> Result<()> {
        let needed = if self.v1.is_none() { limits.controllers()? } else { Vec::new() };
        self.unit.as_ref().map_or(Ok(()), |unit| unit.start(limits))?;
        for dir in self.paths().values() {
            if !make_directory(dir, made)? && self.unit.is_none() {
                check_unused(dir)?;
            }
        }
        match &self.v1 {
            None => subtree::supply(&self.dir, &needed).and_then(|()| self.hand_over()),
            Some(v1) => v1.prepare(),
        }
    }

    /// The same cgroup, which this user will own when it is made by
    /// [`provide`](Self::provide): who is root in the container can then make cgroups
    /// below it. Version 2 only.
    #[must_use]
    pub fn owned_by(self, uid: u32) -> Self {
        Self { owner: Some(uid), ..self }
    }

    /// The directory and those files that the kernel says a delegate may write.
    fn hand_over(&self) -> Result<()> {
        let Some(uid) = self.owner else { return Ok(()) };
        let files = read_to_string("/sys/kernel/cgroup/delegate").unwrap_or_default();
        for path in files.lines().map(|file| self.dir.join(file)).chain([self.dir.clone()]) {
            match chown(&path, Some(uid), None) {
                // What its controllers do not have.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // It is a courtesy, and not everybody can extend it.
                Err(error) if error.kind() == ErrorKind::PermissionDenied && !privileged() => {}
                done => done.call(|| format!("chown({path:?}, {uid})"))?,
            }
        }
        Ok(())
    }

    /// The same cgroup for one more process beside `init`: the one that `init` has moved
    /// to, if this one has become one that hands controllers on and holds nobody.
    pub fn beside(&self, init: Pid) -> Result<Self> {
        let handed_on = match self.legacy() {
            None => read_if_any(&self.dir, "cgroup.subtree_control")?.unwrap_or_default(),
            Some(_) => String::new(),
        };
        if handed_on.trim().is_empty() {
            return Ok(self.clone());
        }
        let file = |path: String| read_to_string(&path).call(|| format!("read({path:?})"));
        let mounts = Mount::find(&file("/proc/self/mountinfo".to_owned())?, "cgroup2");
        let now = file(format!("/proc/{init}/cgroup"))?;
        let found = mounts.first().map(|mount| mount.directory(&now));
        let dir = found.filter(|dir| dir.starts_with(&self.dir));
        Ok(Self { dir: dir.unwrap_or_else(|| self.dir.clone()), ..self.clone() })
    }

    /// [`add`](Self::add), if need be [`beside`](Self::beside) `init`.
    pub fn add_beside(&self, pid: Pid, init: Pid) -> Result<()> {
        match self.add(pid) {
            Err(Error { errno: Some(Errno::EBUSY | Errno::EOPNOTSUPP), .. }) => {
                self.beside(init)?.add(pid)
            }
            done => done,
        }
    }
}

/// Makes a directory and those above it that are missing; whether it was missing itself.
fn make_directory(dir: &Path, made: &mut Vec<PathBuf>) -> Result<bool> {
    for _ in 0..ATTEMPTS {
        match create_dir(dir) {
            Ok(()) => {
                made.push(dir.to_owned());
                return Ok(true);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            // Also if somebody removes the one above between these two calls.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_directory(dir.parent().unwrap_or(dir), made)?;
            }
            Err(error) => {
                return Err(error).call(|| format!("mkdir({dir:?})")).map_err(subtree::hint);
            }
        }
    }
    Err(Error::os(format!("mkdir({dir:?})"), Errno::ENOENT))
}

/// A cgroup that others use is not ours: its limits, freezing and killing are theirs.
fn check_unused(dir: &Path) -> Result<()> {
    let count = procs(dir)?.len();
    if count > 0 {
        return Err(Error::new(format!(
            "container's cgroup is not empty: {count} process(es) found"
        ))
        .hint(format!("it is {}", dir.display())));
    }
    let frozen = |file, word| {
        read_if_any(dir, file).map(|text| text.is_some_and(|text| text.trim() == word))
    };
    match frozen("cgroup.freeze", "1")? || frozen("freezer.state", "FROZEN")? {
        true => Err(Error::new("container's cgroup unexpectedly frozen")),
        false => Ok(()),
    }
}

/// Whether processes cannot be put in `dir`, because the one above holds some itself.
pub(crate) fn invalid(dir: &Path) -> bool {
    read(dir, "cgroup.type").is_ok_and(|kind| kind.trim() == "domain invalid")
}
