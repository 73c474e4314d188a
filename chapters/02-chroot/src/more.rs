//! Catalogue: not needed to understand the chapter.
//!
//! What a configuration can say of a root beyond what every container has.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ch01_clone::{Context, Result, step};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::extra::Propagation;
use crate::mount::{self, Source, copy_tree, move_mount};
use crate::nodes::Device;
use crate::place;
use crate::root::Root;
use crate::rootfs::{Rootfs, Tree};

/// More about a root.
#[derive(Debug, Clone, Default)]
pub struct More {
    /// Devices beside the six; `None` when /dev is left as it is.
    pub devices: Option<Vec<Device>>,
    /// Mounts that become read-only when all is made.
    pub frozen: Vec<PathBuf>,
    /// How `/` itself takes part in mounts and unmounts, in the end.
    pub propagation: Option<Propagation>,
    /// Whether the tree is opened before the clone: who is root in there may not reach it.
    pub early: bool,
    held: Option<Arc<OwnedFd>>,
}

impl Rootfs {
    /// This tree, and nothing in it but what it holds.
    pub fn bare(tree: Tree) -> Self {
        let (mounts, masked, read_only_paths) = (Vec::new(), Vec::new(), Vec::new());
        Self { tree, mounts, masked, read_only_paths, read_only: false, more: More::default() }
    }

    /// The sources of binds are looked for in `directory`, where they are relative.
    pub fn relative_to(mut self, directory: &Path) -> Self {
        for mount in &mut self.mounts {
            if let Source::Bind(path) = &mut mount.source
                && path.is_relative()
            {
                *path = directory.join(&*path);
            }
        }
        self
    }

    /// In the parent, before the clone: opens what the child could not open, or
    /// only cut off from the host's: sources that are shared with the host,
    /// that have other owners inside, or that its root may not reach.
    ///
    /// Whoever may not copy mounts opens them in the child instead.
    pub fn prepare(&mut self) -> Result<()> {
        if let Tree::Directory(path) = &self.tree
            && self.more.early
        {
            self.more.held = step!(
                "prepare",
                "What the child could not open any more is opened before the clone: a \
                 mount that is nowhere yet, held by a descriptor.",
                "ls -l /proc/PID/fd",
                "open_tree({path:?}, OPEN_TREE_CLONE)",
                if_allowed(copy_tree(path).and_then(|copy| self.more.cut_off(copy))),
            )?;
        }
        for mount in &mut self.mounts {
            if let Source::Bind(path) = &mount.source
                && let Some(extra) = mount.extra.as_mut().filter(|extra| extra.early)
            {
                step!(
                    "prepare",
                    "What the child could not open any more is opened before the clone: a \
                     mount that is nowhere yet, held by a descriptor.",
                    "ls -l /proc/PID/fd",
                    "open_tree({path:?}, OPEN_TREE_CLONE)",
                    extra
                        .hold(path, mount.attributes)
                        .map_err(|error| crate::hints::mount(&mount.source, error)),
                )?;
            }
        }
        Ok(())
    }

    /// The devices to make; none where /dev is a part of the host's tree.
    pub(crate) fn devices(&self) -> Option<&[Device]> {
        let bound = self.mounts.iter().any(|mount| {
            matches!(mount.source, Source::Bind(_)) && place::is(&mount.target, "/dev")
        });
        self.more.devices.as_deref().filter(|_| !bound)
    }
}

/// Whoever may not copy mounts here may do so in the child.
pub(crate) fn if_allowed(held: Result<OwnedFd>) -> Result<Option<Arc<OwnedFd>>> {
    match held {
        Err(error) if error.errno == Some(Errno::EPERM) => Ok(None),
        held => held.map(Arc::new).map(Some),
    }
}

impl More {
    /// What every container has: the six devices, and nothing else.
    pub(crate) fn usual() -> Self {
        Self { devices: Some(Vec::new()), ..Self::default() }
    }

    /// A copy is in its source's peer group: a mount inside would show on the host.
    fn cut_off(&self, copy: OwnedFd) -> Result<OwnedFd> {
        let how = match self.propagation {
            Some(Propagation::SLAVE | Propagation::SLAVES) => Propagation::SLAVES,
            _ => Propagation::PRIVATES,
        };
        how.apply(copy.as_fd())?;
        Ok(copy)
    }

    /// The prepared tree, on top of all that this namespace has: so no path to it is needed.
    pub(crate) fn tree(&self) -> Option<Result<Root>> {
        let held = self.held.as_ref()?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let top = open("/", flags, Mode::empty()).call(|| "open(\"/\")");
        Some(step!(
            "rootfs",
            "The tree was opened before the clone, and only has to be attached.",
            "cat /proc/PID/mountinfo",
            "move_mount(\"/\")",
            top.and_then(|top| move_mount(held.as_fd(), top.as_fd()))
                .and_then(|()| held.try_clone().call(|| "fcntl(F_DUPFD_CLOEXEC)"))
                .map(Root::from),
        ))
    }

    /// Inside, when nothing more is to be made.
    pub(crate) fn finish(&self) -> Result<()> {
        let open = |path: &Path| Root::open(Path::new("/"))?.handle(path);
        for path in &self.frozen {
            mount::freeze(open(path)?.as_fd())?;
        }
        let Some(propagation) = self.propagation else { return Ok(()) };
        step!(
            "propagation",
            "Whether mounts that are made later below / show in other mount namespaces.",
            "cat /proc/PID/mountinfo",
            "mount_setattr(\"/\", {propagation:?})",
            open(Path::new("/")).and_then(|root| propagation.apply(root.as_fd())),
        )
    }
}
