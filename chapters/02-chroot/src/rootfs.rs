//! A root file system, from a directory on the host to `/`.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, IdMaps, Result, step};
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, fchdir, pivot_root};

use crate::mask::{MASKED, READ_ONLY};
use crate::more::More;
use crate::mount::{self, Mount, path_of};
use crate::root::Root;
use crate::{devices, mask};

/// What the child's `/` shall be.
#[derive(Debug, Clone)]
pub struct Rootfs {
    /// Where the files come from.
    pub tree: Tree,
    /// What is mounted in it, in this order.
    pub mounts: Vec<Mount>,
    /// Paths that are hidden.
    pub masked: Vec<PathBuf>,
    /// Paths that can only be read.
    pub read_only_paths: Vec<PathBuf>,
    /// Whether `/` itself can only be read.
    pub read_only: bool,
    /// What else a configuration may say of it.
    pub more: More,
}

/// Where the files of a root come from.
#[derive(Debug, Clone)]
pub enum Tree {
    /// A directory, as it is: what is written inside is written there.
    Directory(PathBuf),
    /// Directories lying over each other, the topmost first, none of which is written to.
    Overlay {
        /// The layers.
        lowers: Vec<PathBuf>,
        /// A directory that keeps what is written (in `upper`); without one it is thrown away.
        kept: Option<PathBuf>,
        /// Whether what is written need not outlive the mount: unmounting then
        /// does not wait until all of it is on the disk.
        volatile: bool,
    },
}

impl Rootfs {
    /// This tree with the mounts, devices and masks that every container has
    /// that lives in a user namespace with these ids.
    pub fn new(tree: Tree, ids: &IdMaps) -> Self {
        let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect();
        Self {
            tree,
            mounts: devices::default_mounts(ids),
            masked: paths(&MASKED),
            read_only_paths: paths(&READ_ONLY),
            read_only: false,
            more: More::usual(),
        }
    }

    // ANCHOR: enter
    /// In the child, in its own mount namespace: builds the root and moves into it.
    pub fn enter(&self) -> Result<()> {
        let root = self.build()?;
        pivot(&root)?;
        self.freeze()
    }
    // ANCHOR_END: enter

    /// Builds the root where the files are, and does not move yet.
    pub fn build(&self) -> Result<Root> {
        // Modes are what they are said to be here, whatever mask the caller has.
        umask(Mode::empty());
        let root = self.more.tree().unwrap_or_else(|| self.tree.open())?;
        for mount in &self.mounts {
            mount.attach(&root)?;
        }
        if let Some(own) = self.devices() {
            own.iter().try_for_each(|device| device.make(&root))?;
            devices::fill(&root)?;
        }
        mask::mask(&root, &self.masked, &self.read_only_paths)?;
        umask(Mode::S_IWGRP | Mode::S_IWOTH);
        Ok(root)
    }

    /// Inside, when nothing more is to be made: `/` becomes read-only, if it shall be.
    pub fn freeze(&self) -> Result<()> {
        self.more.finish()?;
        if !self.read_only {
            return Ok(());
        }
        step!(
            "read-only",
            "Everything is made that had to be made: from now on nothing is written to /.",
            "grep ' / / ' /proc/PID/mountinfo",
            "mount_setattr(\"/\", MOUNT_ATTR_RDONLY)",
            Root::open(Path::new("/")).and_then(|root| mount::freeze(root.as_fd())),
        )
    }
}

/// The new root becomes `/`, and the old one goes, with every mount of the host's.
pub fn pivot(root: &Root) -> Result<()> {
    step!(
        "pivot_root",
        "The new root becomes /. The old one then lies on top of it, at the very \
         same place, and is unmounted with all that the host had mounted.",
        "ls /proc/PID/root/",
        "fchdir(root), pivot_root(\".\", \".\"), umount2(\".\", MNT_DETACH)",
        move_in(root),
    )
}

// ANCHOR: move-in
fn move_in(root: &Root) -> nix::Result<()> {
    // HOLE: 02.1
    fchdir(root)?;
    // Both names are this directory, so the old root lands on top of the new one.
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    // Here already; but a working directory left outside is the way out of a root.
    chdir("/")
    // HOLE_END: 02.1
}
// ANCHOR_END: move-in

impl Tree {
    /// Mounts the tree, so that it is a mount of its own: pivot_root wants one.
    fn open(&self) -> Result<Root> {
        match self {
            Tree::Directory(path) => step!(
                "rootfs",
                "pivot_root takes only a mount point: the directory is bound over itself.",
                "cat /proc/PID/mountinfo",
                "open_tree({path:?}, OPEN_TREE_CLONE), move_mount",
                bind_over_itself(path),
            ),
            Tree::Overlay { lowers, kept, volatile } => {
                let layers: Vec<_> = lowers.iter().map(|path| path.display().to_string()).collect();
                let layers = layers.join(":");
                let upper =
                    kept.as_ref().map_or("a tmpfs".to_owned(), |kept| kept.display().to_string());
                step!(
                    "rootfs",
                    "The layers lie over each other, an empty directory on top takes what \
                     is written, and together they look like one tree.",
                    "grep overlay /proc/PID/mountinfo",
                    "mount(overlay, lowerdir={layers}, upperdir={upper}/upper)",
                    overlay(lowers, kept.as_deref(), *volatile),
                )
            }
        }
    }
}

// ANCHOR: bind
fn bind_over_itself(path: &Path) -> Result<Root> {
    let place = directory(path)?;
    let copy = mount::copy_tree(path)?;
    mount::move_mount(copy.as_fd(), place.as_fd())?;
    Ok(copy.into())
}
// ANCHOR_END: bind

/// overlayfs by mount(2), with names of descriptors for the layers: its options
/// have room for a page, and fsconfig for 255 bytes, and layers have long paths.
fn overlay(lowers: &[PathBuf], kept: Option<&Path>, volatile: bool) -> Result<Root> {
    let lowers = lowers.iter().map(|path| directory(path)).collect::<Result<Vec<_>>>()?;
    let own = match (kept, lowers.first()) {
        (Some(path), _) => directory(path)?,
        // Thrown away: on a tmpfs, which covers a layer that we hold already.
        (None, Some(lower)) => {
            let tmpfs = mount::new_file_system("tmpfs", &["mode=755".to_owned()])?;
            mount::move_mount(tmpfs.as_fd(), lower.as_fd())?;
            tmpfs
        }
        (None, None) => return Err(Error::new("an overlay without layers")),
    };
    let own = Root::from(own);
    let [upper, work, merged] = ["upper", "work", "merged"]
        .map(|name| own.make_dir(name, 0o755).map(|fd| (path_of(&fd), fd)));
    let (upper, work, merged) = (upper?, work?, merged?);
    let layers: Vec<_> = lowers.iter().map(|fd| path_of(fd).display().to_string()).collect();
    let mut options = format!(
        "lowerdir={},upperdir={},workdir={}",
        layers.join(":"),
        upper.0.display(),
        work.0.display()
    );
    // ANCHOR: overlay-options
    if devices::in_user_namespace() {
        // trusted.* attributes need privileges over the whole machine.
        options += ",userxattr";
    } else {
        // A directory that is renamed, or a file whose owner changes, is copied whole:
        // then what is in `upper` is a layer that stands without its lower ones.
        options += ",redirect_dir=off,metacopy=off,index=off";
    }
    if volatile {
        options += ",volatile";
    }
    // ANCHOR_END: overlay-options
    nix::mount::mount(
        Some("overlay"),
        &merged.0,
        Some("overlay"),
        MsFlags::empty(),
        Some(&*options),
    )
    .call(|| format!("mount(overlay, {options:?})"))
    .map_err(explain_overlay)?;
    own.lookup("merged", OFlag::O_PATH | OFlag::O_DIRECTORY).map(Root::from)
}

fn explain_overlay(error: Error) -> Error {
    match error.errno {
        Some(nix::errno::Errno::EINVAL) => error
            .hint("an overlay cannot keep its changes on another overlay: choose another --root"),
        _ => error,
    }
}

fn directory(path: &Path) -> Result<OwnedFd> {
    let metadata = fs::metadata(path).call(|| format!("stat({path:?})"))?;
    if !metadata.is_dir() {
        return Err(Error::new(format!("{path:?} is not a directory")));
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::open(path, flags, Mode::empty()).call(|| format!("open({path:?})"))
}
