//! Where cgroups are on this machine, and where we may make one.
//!
//! Looked at once: `/proc/self/mountinfo` says where hierarchies are mounted,
//! `/proc/self/cgroup` in which cgroup we are ourselves.
//!
//! Root makes its cgroups at the top. An ordinary user may not write there, but
//! a service manager can **delegate** a cgroup: it changes the owner of the
//! directory, of `cgroup.procs` and of `cgroup.subtree_control`, and everything
//! below belongs to the user. Then that is where ours go.

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::path::{Component, Path, PathBuf};

use ch01_clone::error::Context;
use ch01_clone::{Error, Result};
use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use crate::cgroup::Cgroup;
use crate::mounts::Mount;
use crate::subtree::{holds_strangers, make_room};
use crate::v1;

/// Which version of cgroups has the controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Version 2 has them all. This is what the chapter teaches.
    Unified,
    /// Version 1 has them, and a `cgroup2` without useful ones is mounted beside.
    Hybrid,
    /// Version 1 only.
    Legacy,
}

/// The cgroup file systems of this machine.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    /// The directory under which we may make cgroups; `None` when there is none.
    pub(crate) base: Option<PathBuf>,
    /// Our own cgroup, for the sentence that says why there is none.
    pub(crate) own: PathBuf,
    /// Where it is mounted.
    pub(crate) top: PathBuf,
    pub(crate) unified: bool,
    pub(crate) v1: Option<v1::Mounts>,
}

impl Hierarchy {
    /// Looks at this machine.
    pub fn probe() -> Result<Self> {
        let file = |path: &str| read_to_string(path).call(|| format!("read({path:?})"));
        let (mounts, own) = (file("/proc/self/mountinfo")?, file("/proc/self/cgroup")?);
        let v1 = v1::Mounts::find(&mounts);
        let unified = Mount::find(&mounts, "cgroup2");

        let Some(mount) = unified.first().or(v1.as_ref().and_then(v1::Mounts::first)) else {
            return Err(Error::new("no cgroup file system is mounted")
                .hint("mount -t cgroup2 cgroup2 /sys/fs/cgroup"));
        };
        let own = mount.own_directory(&own);
        // Root on the real machine may write at the top; root in a user
        // namespace is somebody else outside, so it is tried rather than assumed.
        // ANCHOR: base
        let base = [&mount.point, &own].into_iter().find(|dir| writable(dir)).cloned();
        // ANCHOR_END: base
        let base = base.filter(|_| v1.as_ref().is_none_or(v1::Mounts::writable));
        let top = mount.point.clone();
        Ok(Self { base, own, top, unified: !unified.is_empty(), v1 })
    }

    /// Which version of cgroups has the controllers.
    pub fn kind(&self) -> Kind {
        match (&self.v1, self.unified) {
            (None, _) => Kind::Unified,
            (Some(_), true) => Kind::Hybrid,
            (Some(_), false) => Kind::Legacy,
        }
    }

    /// Whether we can set limits: there is a directory for our cgroups, and no
    /// stranger sits in it, who would have to move out first (see `subtree`).
    /// If not, [`delegated_scope`](crate::scope::delegated_scope) may help.
    // ANCHOR: delegated
    pub fn delegated(&self) -> bool {
        self.base.as_deref().is_some_and(|base| !holds_strangers(base).unwrap_or(true))
    }
    // ANCHOR_END: delegated

    /// Moves this process out of the way of the cgroups to come: for a program
    /// that starts another one to make them, which would find a stranger here.
    pub fn step_aside(&self) -> Result<()> {
        match &self.base {
            Some(base) if self.v1.is_none() && self.delegated() => make_room(base),
            _ => Ok(()),
        }
    }

    /// The place of the cgroup `name` below `parent`, which may be several
    /// levels (`a/b`) or none (the empty path). Nothing is made.
    pub fn cgroup(&self, parent: impl AsRef<Path>, name: &str) -> Result<Cgroup> {
        let path = parent.as_ref().join(name);
        // One plain word: not `.`, which would be the parent itself.
        let plain = Path::new(name).file_name() == Some(name.as_ref());
        if !plain || !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(Error::new(format!("{path:?} cannot be the path of a cgroup")));
        }
        let base = self.base.as_ref().ok_or_else(|| self.not_delegated())?;
        let mut paths = BTreeMap::new();
        if self.unified {
            paths.insert(String::new(), base.join(&path));
        }
        if let Some(v1) = &self.v1 {
            paths.extend(v1.paths(&path));
        }
        Cgroup::from_paths(paths)
    }

    /// The sentence for who asks for limits and has nowhere to put them.
    pub(crate) fn not_delegated(&self) -> Error {
        let error = Error::new(format!(
            "no cgroup is delegated to us ({} is not ours)",
            self.own.display()
        ));
        error.hint(match self.kind() {
            _ if access(&self.own, AccessFlags::W_OK) == Err(Errno::EROFS) => {
                "it is mounted read-only: the container around us wants --privileged; or leave the \
                 limits out"
            }
            Kind::Unified => {
                "run it as root, or with a cgroup of its own: \
                 systemd-run --user --scope -p Delegate=yes …; or leave the limits out"
            }
            Kind::Hybrid | Kind::Legacy => {
                "with version 1 cgroups only root can set limits: run it as root, or leave the \
                 limits out"
            }
        })
    }
}

/// Whether we can make cgroups in `dir`, put processes there and hand on controllers.
pub(crate) fn writable(dir: &Path) -> bool {
    ["", "cgroup.procs", "cgroup.subtree_control"].iter().map(|file| dir.join(file)).all(|path| {
        match access(&path, AccessFlags::W_OK) {
            Ok(()) => true,
            // A version 1 directory has no subtree_control.
            Err(errno) => errno == Errno::ENOENT && dir.exists(),
        }
    })
}
