//! Mounts, made first and attached after: the new mount API.
//!
//! mount(2) does all at once, at a path. Here a file system is configured and
//! made (fsopen, fsconfig, fsmount) or a part of the tree is copied (open_tree),
//! and the result is a mount that is nowhere yet, held by a descriptor. Its
//! attributes are set before anybody can see it, and move_mount puts it in place.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Result, step};
use rustix::mount::{self as sys_mount, FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags};

use crate::extra::Extra;
use crate::root::Root;
use crate::{hints, place, sys};

/// What to mount inside a root, and where.
#[derive(Debug, Clone)]
pub struct Mount {
    /// The path inside the root.
    pub target: PathBuf,
    /// What is mounted.
    pub source: Source,
    /// What it does not allow.
    pub attributes: Attributes,
    /// What else a configuration may say of it; `None` on the chapter's own road.
    pub extra: Option<Box<Extra>>,
}

/// Where the content of a mount comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file or directory of the host's, with all that is mounted below it.
    Bind(PathBuf),
    /// A file system of its own: the kernel's name for it, and its options.
    New {
        /// `proc`, `tmpfs`, ...
        kind: String,
        /// As `name` or `name=value`.
        options: Vec<String>,
    },
}

/// Attributes of a mount, all off unless said otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Nothing can be written.
    pub read_only: bool,
    /// Set-uid bits and file capabilities do nothing.
    pub nosuid: bool,
    /// Device files do nothing.
    pub nodev: bool,
    /// Nothing can be executed.
    pub noexec: bool,
}

impl Attributes {
    /// What most pseudo file systems should be: data, and nothing else.
    pub const DATA: Attributes =
        Attributes { read_only: false, nosuid: true, nodev: true, noexec: true };

    /// The same, read-only.
    #[must_use]
    pub fn read_only(self) -> Self {
        Attributes { read_only: true, ..self }
    }

    pub(crate) fn flags(self) -> MountAttrFlags {
        let all = [
            (self.read_only, MountAttrFlags::MOUNT_ATTR_RDONLY),
            (self.nosuid, MountAttrFlags::MOUNT_ATTR_NOSUID),
            (self.nodev, MountAttrFlags::MOUNT_ATTR_NODEV),
            (self.noexec, MountAttrFlags::MOUNT_ATTR_NOEXEC),
        ];
        all.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag).collect()
    }
}

impl Mount {
    /// A new file system; options as in mount(8), each for itself.
    pub fn new(kind: &str, target: &str, options: &[&str], attributes: Attributes) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Self {
            target: target.into(),
            source: Source::New { kind: kind.to_owned(), options },
            attributes,
            extra: None,
        }
    }

    /// A part of the host's tree.
    pub fn bind(path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        let source = Source::Bind(path.into());
        Self { target: target.into(), source, attributes: Attributes::default(), extra: None }
    }

    /// Makes it, and puts it in its place inside `root`.
    pub fn attach(&self, root: &Root) -> Result<()> {
        let make = match &self.source {
            Source::Bind(path) => format!("open_tree({path:?}, OPEN_TREE_CLONE)"),
            Source::New { kind, .. } => format!("fsopen({kind:?}), fsmount()"),
        };
        let target = &self.target;
        step!(
            "mount",
            "A file system, or a part of the host's, is made ready where nobody \
             can see it yet, and then attached inside the new root.",
            "cat /proc/PID/mountinfo",
            "{make}, move_mount({target:?})",
            self.extra
                .as_ref()
                .map_or_else(|| self.attach_now(root), |extra| extra.attach(self, root))
                .map_err(|error| hints::mount(&self.source, error)),
        )
    }

    // ANCHOR: attach
    fn attach_now(&self, root: &Root) -> Result<()> {
        let mount = match &self.source {
            Source::Bind(path) => copy_tree(path)?,
            Source::New { kind, options } => new_file_system(kind, options)?,
        };
        set_attributes(mount.as_fd(), self.attributes)?;
        let target = self.place(root, mount.as_fd())?;
        move_mount(mount.as_fd(), target.as_fd())
    }
    // ANCHOR_END: attach

    /// The place to mount on: made where it is missing, of the same type as what comes there.
    pub(crate) fn place(&self, root: &Root, mount: BorrowedFd<'_>) -> Result<OwnedFd> {
        match &self.source {
            Source::New { kind, .. } if kind == "proc" || kind == "sysfs" => {
                place::kernels_place(root, &self.target)
            }
            _ => place::place(root, &self.target, mount),
        }
    }
}

/// Copies the mounts from `path` on: a bind that is attached nowhere yet.
pub fn copy_tree(path: &Path) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    io(sys_mount::open_tree(nix::fcntl::AT_FDCWD, path, flags))
        .call(|| format!("open_tree({path:?}, OPEN_TREE_CLONE|AT_RECURSIVE)"))
}

/// The same of what a handle stands for, and of nothing mounted below it.
pub fn copy_handle(handle: impl AsFd) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    io(sys_mount::open_tree(handle, "", flags)).call(|| "open_tree(fd, OPEN_TREE_CLONE)")
}

/// The same, with all that is mounted below it.
pub fn copy_below(handle: impl AsFd) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    io(sys_mount::open_tree(handle, "", flags)).call(|| "open_tree(fd, OPEN_TREE_CLONE)")
}

// ANCHOR: new
/// A file system of its own, attached nowhere yet.
pub fn new_file_system(kind: &str, options: &[String]) -> Result<OwnedFd> {
    let context = io(sys_mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC))
        .call(|| format!("fsopen({kind:?})"))?;
    if !options.iter().any(|option| option.starts_with("source=")) {
        io(sys_mount::fsconfig_set_string(context.as_fd(), "source", kind))
            .call(|| format!("fsconfig({kind:?}, source)"))?;
    }
    configure(&context, kind, options)?;
    io(sys_mount::fsconfig_create(context.as_fd()))
        .call(|| format!("fsconfig({kind:?}, FSCONFIG_CMD_CREATE){}", said(&context)))?;
    io(sys_mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()))
        .call(|| format!("fsmount({kind:?})"))
}

/// Options of a file system, one by one.
pub(crate) fn configure(context: &OwnedFd, kind: &str, options: &[String]) -> Result<()> {
    for option in options {
        let set = match option.split_once('=') {
            Some((name, value)) => sys_mount::fsconfig_set_string(context.as_fd(), name, value),
            None => sys_mount::fsconfig_set_flag(context.as_fd(), option.as_str()),
        };
        io(set).call(|| format!("fsconfig({kind:?}, {option:?}){}", said(context)))?;
    }
    Ok(())
}
// ANCHOR_END: new

/// Attaches a mount at a place.
pub fn move_mount(mount: BorrowedFd<'_>, place: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    io(sys_mount::move_mount(mount, "", place, "", flags)).call(|| "move_mount")
}

// ANCHOR: attributes
/// Sets attributes of a mount and of all that is mounted below it.
pub fn set_attributes(mount: BorrowedFd<'_>, attributes: Attributes) -> Result<()> {
    let flags = attributes.flags();
    match flags.is_empty() {
        true => Ok(()),
        false => sys::mount_setattr(mount, flags.bits().into(), true)
            .call(|| format!("mount_setattr({flags:?}, AT_RECURSIVE)")),
    }
}
// ANCHOR_END: attributes

/// Makes one mount read-only, and leaves those below it as they are.
pub fn freeze(mount: BorrowedFd<'_>) -> Result<()> {
    sys::mount_setattr(mount, MountAttrFlags::MOUNT_ATTR_RDONLY.bits().into(), false)
        .call(|| "mount_setattr(MOUNT_ATTR_RDONLY)")
}

/// What the kernel has to say about a file system that it did not make.
pub(crate) fn said(context: &OwnedFd) -> String {
    // A message is read whole or not at all, so there has to be room for it.
    let mut bytes = [0; 1024];
    let read = nix::unistd::read(context, &mut bytes).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..read]);
    let text = text.trim().trim_start_matches("e ");
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

/// rustix has an errno type of its own; the standard library's error takes both.
pub(crate) fn io<T>(result: rustix::io::Result<T>) -> std::io::Result<T> {
    result.map_err(Into::into)
}

/// A path that leads to the same thing as a handle, for calls that only take paths.
pub fn path_of(handle: impl AsFd) -> PathBuf {
    format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd()).into()
}
