//! Catalogue: not needed to understand the chapter.
//!
//! What a configuration can say of a mount beyond the chapter's four
//! attributes (OCI config.md, "Linux mount options"; mount_setattr(2)).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use ch01_clone::{Context, Error, IdMaps, Namespace, Namespaces, Plan, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::MsFlags;
use nix::sys::stat::Mode;
use rustix::mount as sys_mount;
use rustix::mount::{FsPickFlags, OpenTreeFlags};

use crate::more::if_allowed;
use crate::mount::{self, Attributes, Mount, Source, io, said};
use crate::root::{self, Root};
use crate::sys::{self, Change};
use crate::{cgroups, copy_up, place};

/// Longer values than this fsconfig(2) does not take.
const LONGEST: usize = 255;

/// More about a mount.
#[derive(Debug, Clone, Default)]
pub struct Extra {
    /// Flags of the mount itself.
    pub top: Flags,
    /// Flags of the mount and of all below it.
    pub all: Flags,
    /// How it takes part in mounts and unmounts, one after the other.
    pub propagation: Vec<Propagation>,
    /// Owners inside are those of the file system through these maps; and whether below, too.
    pub ids: Option<(IdMaps, bool)>,
    /// A bind without what is mounted below its source.
    pub flat: bool,
    /// Whether the source is opened before the clone.
    pub early: bool,
    /// A tmpfs begins with what it covers.
    pub copy_up: bool,
    /// A tmpfs has the permissions of the directory that it covers.
    pub same_mode: bool,
    /// What is mounted there already is changed.
    pub remount: bool,
    /// Options that the file system need not know.
    pub optional: Vec<String>,
    held: Option<Arc<OwnedFd>>,
}

/// `MOUNT_ATTR_*` flags to set and to clear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// To set.
    pub set: u64,
    /// To clear first.
    pub clear: u64,
}

impl Flags {
    /// The bits of the time of last access: one choice, which is replaced as a whole.
    pub const ATIME: u64 = libc::MOUNT_ATTR__ATIME;

    /// Sets flags; what was said before of the same ones does not count any more.
    pub fn on(&mut self, flags: u64) {
        if flags & Self::ATIME != 0 {
            self.off(Self::ATIME);
        }
        self.set |= flags;
        self.clear &= !(flags & !Self::ATIME);
    }

    /// Clears flags.
    pub fn off(&mut self, flags: u64) {
        let flags = if flags & Self::ATIME != 0 { flags | Self::ATIME } else { flags };
        self.clear |= flags;
        self.set &= !flags;
    }

    fn apply(self, mount: BorrowedFd<'_>, recursive: bool) -> Result<()> {
        if self == Flags::default() {
            return Ok(());
        }
        let Flags { set, clear } = self;
        sys::change(mount, Change { set, clear, ..Change::default() }, recursive)
            .call(|| {
                let how = if recursive { ", AT_RECURSIVE" } else { "" };
                format!("mount_setattr(set {set:#x}, clear {clear:#x}{how})")
            })
            .map_err(|error| match error.errno {
                Some(Errno::EPERM) if clear != 0 => error
                    .hint("in a user namespace no flag can be cleared that the host's mount has"),
                _ => error,
            })
    }
}

/// How a mount takes part in mounts and unmounts (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Propagation {
    flag: u64,
    recursive: bool,
}

impl Propagation {
    /// A slave of whatever it was shared with.
    pub const SLAVE: Propagation = Self { flag: libc::MS_SLAVE, recursive: false };
    /// The same of all below.
    pub const SLAVES: Propagation = Self { flag: libc::MS_SLAVE, recursive: true };
    /// Cut off from all others, and all below, too.
    pub const PRIVATES: Propagation = Self { flag: libc::MS_PRIVATE, recursive: true };

    /// By its name in a configuration: `shared`, `rshared`, ...
    pub fn parse(name: &str) -> Option<Self> {
        let (flag, recursive) = match name {
            "shared" => (libc::MS_SHARED, false),
            "rshared" => (libc::MS_SHARED, true),
            "slave" => (libc::MS_SLAVE, false),
            "rslave" => (libc::MS_SLAVE, true),
            "private" => (libc::MS_PRIVATE, false),
            "rprivate" => (libc::MS_PRIVATE, true),
            "unbindable" => (libc::MS_UNBINDABLE, false),
            "runbindable" => (libc::MS_UNBINDABLE, true),
            _ => return None,
        };
        Some(Self { flag, recursive })
    }

    /// Whether it is shared with others.
    pub fn is_shared(self) -> bool {
        self.flag == libc::MS_SHARED
    }

    /// Whether it means something only for a copy of the host's own mount.
    pub fn needs_the_host(self) -> bool {
        matches!(self.flag, libc::MS_SHARED | libc::MS_SLAVE)
    }

    /// Whether it is what every mount is in a namespace that is cut off.
    pub fn is_private(self) -> bool {
        self.flag == libc::MS_PRIVATE
    }

    pub(crate) fn apply(self, mount: BorrowedFd<'_>) -> Result<()> {
        let change = Change { propagation: self.flag, ..Change::default() };
        sys::change(mount, change, self.recursive)
            .call(|| format!("mount_setattr(propagation {:#x})", self.flag))
    }
}

impl Extra {
    /// Whether it says nothing at all.
    pub fn is_default(&self) -> bool {
        let Self { top, all, propagation, ids, optional, held, .. } = self;
        let said = [self.flat, self.early, self.copy_up, self.same_mode, self.remount];
        let flags = *top == Flags::default() && *all == Flags::default();
        let lists = propagation.is_empty() && optional.is_empty();
        flags && lists && ids.is_none() && held.is_none() && said == [false; 5]
    }

    /// In the parent: the copy of a bind's source, with all that is said of it.
    pub(crate) fn hold(&mut self, path: &Path, attributes: Attributes) -> Result<()> {
        let made = copy(path, !self.flat).and_then(|copy| {
            // The copy is in its source's peer group: a mount inside would show on the host.
            let shared = self.propagation.iter().any(|how| how.needs_the_host());
            if !shared {
                Propagation::PRIVATES.apply(copy.as_fd())?;
            }
            self.finish(copy.as_fd(), attributes, false)?;
            Ok(copy)
        });
        self.held = match self.ids.is_some() {
            true => Some(Arc::new(made?)),
            false => if_allowed(made)?,
        };
        Ok(())
    }

    /// All that is set while nobody can see the mount.
    fn finish(&self, mount: BorrowedFd<'_>, attributes: Attributes, new: bool) -> Result<()> {
        if let Some((ids, recursive)) = &self.ids {
            let users = user_namespace(ids)?;
            let change = Change { users: Some(users.as_fd()), ..Change::default() };
            sys::change(mount, change, *recursive)
                .call(|| "mount_setattr(MOUNT_ATTR_IDMAP)")
                .map_err(|error| match error.errno {
                    Some(Errno::EINVAL) => error.hint(
                        "its file system may be one whose owners cannot be mapped, or they are \
                         mapped already",
                    ),
                    _ => error,
                })?;
        }
        let (mut all, mut top) = (self.all, self.top);
        if new {
            // One mount: then all of it is said at once.
            all.on(attributes.flags().bits().into());
            top.on(all.set);
            top.clear |= all.clear & !top.set;
            (all, top) = (Flags::default(), top);
        } else {
            mount::set_attributes(mount, attributes)?;
        }
        all.apply(mount, true)?;
        top.apply(mount, false)?;
        self.propagation.iter().try_for_each(|how| how.apply(mount))
    }

    /// Makes the mount, and puts it in its place.
    pub(crate) fn attach(&self, mount: &Mount, root: &Root) -> Result<()> {
        let own;
        let made = match (&mount.source, &self.held) {
            _ if self.remount => return self.change(mount, root),
            (Source::New { kind, .. }, _) if kind == "cgroup" => {
                return cgroups::attach(mount, root, |cgroup| {
                    self.finish(cgroup, mount.attributes, true)
                });
            }
            (Source::Bind(_), Some(held)) => held.as_fd(),
            (Source::Bind(_), None) if self.ids.is_some() => {
                return Err(Error::new("owners can only be mapped by root of the machine"));
            }
            (Source::Bind(path), None) => {
                own = copy(path, !self.flat)?;
                self.finish(own.as_fd(), mount.attributes, false)?;
                own.as_fd()
            }
            (Source::New { kind, options }, _) => {
                let options = self.options(mount, options, root)?;
                if options.iter().any(|option| too_long(option)) {
                    return self.by_mount(mount, kind, &options, root);
                }
                own = self.file_system(kind, &options)?;
                if self.copy_up {
                    copy_up::copy(root, &mount.target, own.as_fd())?;
                }
                self.finish(own.as_fd(), mount.attributes, true)?;
                own.as_fd()
            }
        };
        let place = mount.place(root, made)?;
        mount::move_mount(made, place.as_fd())
    }

    /// The options of the file system; the covered directory's permissions, if these are wanted.
    fn options(&self, mount: &Mount, options: &[String], root: &Root) -> Result<Vec<String>> {
        let mut all = options.to_vec();
        if self.same_mode
            && let Ok(covered) = root.handle(&mount.target)
        {
            all.insert(0, format!("mode={:04o}", root::stat(&covered)?.st_mode & 0o7777));
        }
        Ok(all)
    }

    /// A new file system; without the optional options if it does not know them.
    fn file_system(&self, kind: &str, options: &[String]) -> Result<OwnedFd> {
        if self.optional.is_empty() {
            return mount::new_file_system(kind, options);
        }
        let with: Vec<_> = options.iter().chain(&self.optional).cloned().collect();
        match mount::new_file_system(kind, &with) {
            Err(error) if error.errno == Some(Errno::EINVAL) => {
                mount::new_file_system(kind, options)
            }
            done => done,
        }
    }

    /// Changes what is mounted there already.
    fn change(&self, mount: &Mount, root: &Root) -> Result<()> {
        let place = root.handle(&mount.target)?;
        if let Source::New { options, .. } = &mount.source
            && !options.is_empty()
        {
            let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
            let context = io(sys_mount::fspick(&place, "", flags)).call(|| "fspick")?;
            mount::configure(&context, "fspick", options)?;
            io(sys_mount::fsconfig_reconfigure(context.as_fd()))
                .call(|| format!("fsconfig(FSCONFIG_CMD_RECONFIGURE){}", said(&context)))?;
        }
        self.finish(place.as_fd(), mount.attributes, true)
    }

    /// By mount(2), whose options have room for a page: at its place at once.
    fn by_mount(&self, mount: &Mount, kind: &str, options: &[String], root: &Root) -> Result<()> {
        let directory = root.make_dir(&mount.target, 0o755)?;
        let place = place::place(root, &mount.target, directory.as_fd())?;
        let (mut source, mut data, mut flags) = (kind, Vec::new(), MsFlags::empty());
        for option in options.iter().chain(&self.optional) {
            match (option.strip_prefix("source="), old_flag(option)) {
                (Some(name), _) => source = name,
                (None, Some(flag)) => flags |= flag,
                (None, None) => data.push(option.as_str()),
            }
        }
        // Those of the old call have the same meaning from the first moment on.
        let set = attributes(mount, self);
        for (attribute, flag) in [
            (libc::MOUNT_ATTR_RDONLY, MsFlags::MS_RDONLY),
            (libc::MOUNT_ATTR_NOSUID, MsFlags::MS_NOSUID),
            (libc::MOUNT_ATTR_NODEV, MsFlags::MS_NODEV),
            (libc::MOUNT_ATTR_NOEXEC, MsFlags::MS_NOEXEC),
        ] {
            flags.set(flag, set & attribute != 0);
        }
        let data = data.join(",");
        nix::mount::mount(Some(source), &mount::path_of(&place), Some(kind), flags, Some(&*data))
            .call(|| format!("mount({kind}, {data:?})"))?;
        self.finish(root.handle(&mount.target)?.as_fd(), mount.attributes, true)
    }
}

fn attributes(mount: &Mount, extra: &Extra) -> u64 {
    u64::from(mount.attributes.flags().bits()) | extra.top.set | extra.all.set
}

/// Whether an option is longer than the new calls take, so that mount(2) has to do it.
pub fn too_long(option: &str) -> bool {
    option.split_once('=').is_some_and(|(_, value)| value.len() > LONGEST)
}

/// Options that mount(2) takes as flags.
fn old_flag(option: &str) -> Option<MsFlags> {
    Some(match option {
        "sync" => MsFlags::MS_SYNCHRONOUS,
        "dirsync" => MsFlags::MS_DIRSYNC,
        "mand" => MsFlags::MS_MANDLOCK,
        "lazytime" => MsFlags::MS_LAZYTIME,
        "iversion" => MsFlags::MS_I_VERSION,
        "acl" => MsFlags::MS_POSIXACL,
        "async" | "nomand" | "nolazytime" | "noiversion" | "noacl" => MsFlags::empty(),
        _ => return None,
    })
}

/// Copies the mount at `path`, and with `recursive` all below it.
fn copy(path: &Path, recursive: bool) -> Result<OwnedFd> {
    if recursive {
        return mount::copy_tree(path);
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    io(sys_mount::open_tree(nix::fcntl::AT_FDCWD, path, flags))
        .call(|| format!("open_tree({path:?}, OPEN_TREE_CLONE)"))
}

/// A user namespace with these maps: a child that never starts is in it until it is open.
fn user_namespace(ids: &IdMaps) -> Result<OwnedFd> {
    let plan = Plan {
        namespaces: Namespaces::of([Namespace::User]),
        ids: Some(ids.clone()),
        ..Plan::default()
    };
    let child = plan.spawn(|_| Err(Error::new("it is not to be started")))?;
    let path = format!("/proc/{}/ns/user", child.pid());
    open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .call(|| format!("open({path:?})"))
}
