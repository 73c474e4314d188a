//! Making true what an archive says, inside a root that nothing can leave.
//!
//! An archive is written by strangers and applied by root. Each entry's parent
//! directory is looked up through [`Root`], where no link leads out; the last
//! name is made by a call that takes a descriptor and one name, and follows
//! nothing. What was in its place is removed first, never written through.
//! Whatever an archive tries, there is no other way to the disk than this.

use std::ffi::OsStr;
use std::io::{BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use ch01_clone::{Context, Error, IdMaps, Result, step};
use ch02_chroot::Root;
use ch02_chroot::devices::in_user_namespace;
use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag};
use nix::sys::stat::{mkdirat, mknodat};
use nix::unistd::symlinkat;
use tar::EntryType;

use crate::entries::Entries;
use crate::entry::Entry;
use crate::place::{Place, open_directory, parent};
use crate::space::{self, Limits, Space};
use crate::stack::Stack;
use crate::whiteout::{self, Meaning};
use crate::{copy_up, trees};

/// What was done, and what could not be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries made.
    pub entries: u64,
    /// Bytes of file data.
    pub bytes: u64,
    /// Entries whose owner or group does not exist in this user namespace; root has them.
    pub owners_flattened: u64,
    /// Device nodes that were not made: nobody may in a user namespace.
    pub devices_skipped: u64,
    /// Extended attributes that were refused.
    pub attributes_skipped: u64,
}

/// Applies a plain tar archive, a layer of an image, to a tree. Whiteouts become
/// those of overlayfs. The caller has to be root, at least of its user namespace.
///
/// # Errors
/// The entry's name and what was wrong with it or could not be done. What was
/// made up to there stays: the caller removes the tree.
pub fn apply(archive: impl Read, root: &Root, limits: Limits) -> Result<Summary> {
    apply_over(archive, root, Stack::open(&[])?, limits)
}

/// The same for a layer that lies over others: what it does not say is as it is there.
pub fn apply_over(
    archive: impl Read,
    root: &Root,
    below: Stack,
    limits: Limits,
) -> Result<Summary> {
    step!(
        "layer",
        "An archive of files becomes a tree, entry by entry. It was made by a \
         stranger: no name in it and no link that it makes can lead out.",
        "ls -la /proc/self/root",
        "openat2(root, ..., RESOLVE_IN_ROOT), then openat, mkdirat, symlinkat, ...",
        apply_now(archive, root, below.under(root)?, limits),
    )
}

fn apply_now(archive: impl Read, root: &Root, stack: Stack, limits: Limits) -> Result<Summary> {
    if let Some(below) = stack.root_below()? {
        copy_up::attributes(&below, root, OsStr::new("."))?;
    }
    let mut applier = Applier {
        root,
        stack,
        place: None,
        ids: IdMaps::current()?,
        in_user_namespace: in_user_namespace(),
        space: Space::at(root, limits)?,
        summary: Summary::default(),
        buffer: vec![0; 256 << 10],
    };
    let mut entries = Entries::new(BufReader::with_capacity(64 << 10, archive));
    while let Some(entry) = entries.next()? {
        let name = entry.path().map_err(|error| about(&entry, error))?;
        applier.entry(&entry, &name, &mut entries).map_err(|error| about(&entry, error))?;
    }
    applier.leave()?;
    let (bytes, entries) = applier.space.taken();
    Ok(Summary { bytes, entries, ..applier.summary })
}

fn about(entry: &Entry, mut error: Error) -> Error {
    error.call = format!("{:?} in the archive: {}", entry.shown(), error.call);
    space::explain(error)
}

pub(crate) struct Applier<'a> {
    pub(crate) root: &'a Root,
    /// This layer, and those below it.
    pub(crate) stack: Stack,
    /// The parent of the last entry: the next one mostly has the same.
    pub(crate) place: Option<Place>,
    pub(crate) ids: IdMaps,
    pub(crate) in_user_namespace: bool,
    pub(crate) space: Space,
    pub(crate) summary: Summary,
    pub(crate) buffer: Vec<u8>,
}

impl Applier<'_> {
    fn entry(&mut self, entry: &Entry, path: &Path, data: &mut Entries<impl Read>) -> Result<()> {
        let Some(name) = path.file_name() else {
            return match entry.kind() {
                EntryType::Directory => self.root_itself(entry),
                _ => Err(Error::new("the root of the tree can only be a directory")),
            };
        };
        if path.parent().is_some_and(|parent| {
            parent.iter().any(|part| whiteout::meaning(part).is_ok_and(|m| m == Meaning::Nothing))
        }) {
            return Ok(());
        }
        match whiteout::meaning(name)? {
            Meaning::Itself => {}
            Meaning::Nothing => return Ok(()),
            Meaning::Gone(gone) => return self.whiteout(parent(path), gone),
            Meaning::Opaque => return self.opaque(parent(path)),
        }
        self.enter(parent(path))?;
        self.space.take_entry()?;
        match entry.kind() {
            EntryType::Regular => self.file(entry, name, data),
            EntryType::Directory => self.directory(entry, name),
            EntryType::Symlink => {
                self.make(name, "symlinkat", |dir| symlinkat(entry.link_text(), dir, name))?;
                self.attributes(entry, name)
            }
            EntryType::Link => self.hard_link(entry, path, name),
            EntryType::Char => self.device(entry, name, SFlag::S_IFCHR),
            EntryType::Block => self.device(entry, name, SFlag::S_IFBLK),
            EntryType::Fifo => self.device(entry, name, SFlag::S_IFIFO),
            other => Err(Error::new(format!("an entry of unknown type {:?}", other.as_byte()))),
        }
    }

    // ANCHOR: make
    /// Makes something at `name`. What is there already is not it: it has to go.
    pub(crate) fn make<T>(
        &self,
        name: &OsStr,
        what: &str,
        call: impl Fn(&OwnedFd) -> nix::Result<T>,
    ) -> Result<T> {
        let dir = self.place();
        let made = match call(dir) {
            Err(Errno::EEXIST) => {
                trees::remove(dir, name)?;
                call(dir)
            }
            made => made,
        };
        made.call(|| format!("{what}({name:?})"))
    }
    // ANCHOR_END: make

    fn directory(&mut self, entry: &Entry, name: &OsStr) -> Result<()> {
        let there = whiteout::look(self.place(), name)?;
        // A file that came and went hides what is below it, too.
        let hid = there.as_ref().is_some_and(|stat| whiteout::kind(stat) != SFlag::S_IFDIR);
        if there.is_none_or(|stat| whiteout::kind(&stat) != SFlag::S_IFDIR) {
            self.make(name, "mkdirat", |dir| mkdirat(dir, name, Mode::S_IRWXU))?;
        }
        let dir = open_directory(self.place(), name)?;
        if hid {
            // Gone and come again: nothing of the old one is left.
            whiteout::make_opaque(&dir, self.in_user_namespace)?;
        }
        self.inode(entry, name, dir.as_fd())
    }

    fn root_itself(&mut self, entry: &Entry) -> Result<()> {
        self.leave()?;
        self.enter(Path::new(""))?;
        let dir = open_directory(self.place(), OsStr::new("."))?;
        self.inode(entry, OsStr::new("."), dir.as_fd())?;
        self.place = None;
        Ok(())
    }

    fn device(&mut self, entry: &Entry, name: &OsStr, kind: SFlag) -> Result<()> {
        let number = if kind == SFlag::S_IFIFO { 0 } else { entry.device()? };
        let made =
            self.make(name, "mknodat", |dir| mknodat(dir, name, kind, Mode::S_IRUSR, number));
        match made {
            Err(error) if error.errno == Some(Errno::EPERM) => {
                self.summary.devices_skipped += 1;
                Ok(())
            }
            made => made.and_then(|()| self.attributes(entry, name)),
        }
    }
}
