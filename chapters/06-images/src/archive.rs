//! Catalogue: not needed to understand the chapter.
//!
//! From a directory to an archive: the same tree always gives the same bytes.
//! Names come in order, and no owner's name is looked up.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use ch01_clone::{Error, Result};
use ch02_chroot::devices::in_user_namespace;
use ch02_chroot::{Root, root};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::stat::FileStat;

use crate::member::{Members, Owned};
use crate::{trees, whiteout};

/// Writes what lies below `dir` as a tar archive. Other file systems that are
/// mounted there appear as empty directories, and so does `leave_out`.
pub fn write(dir: &Path, leave_out: &Path, to: impl Write) -> Result<()> {
    let other = root::stat(Root::open(leave_out)?)?;
    whole(Root::open(dir)?, (other.st_dev, other.st_ino), to)
}

/// The same of a root that is open already, and nothing is left out.
pub fn write_root(root: Root, to: impl Write) -> Result<()> {
    whole(root, (0, 0), to)
}

fn whole(root: Root, leave_out: (u64, u64), to: impl Write) -> Result<()> {
    let top = root::stat(&root)?;
    let members = Members::new(to, None);
    let mut writer = Writer { root, device: top.st_dev, leave_out, layer: false, members };
    writer.one(Path::new(""), &top)?;
    writer.members.finish()
}

/// Writes what lies in `upper`, where an overlay has kept its changes, as a layer: what
/// overlayfs says by devices and attributes is said by the names of [`whiteout`]. Times
/// after `latest`, in seconds since 1970, become that, so that the same changes give the
/// same bytes whenever they were made. Of the root itself nothing is said: `upper` is ours.
///
/// # Errors
/// A file that is called like a whiteout: in a layer it would be one.
pub fn write_layer(upper: &Path, latest: Option<i64>, to: impl Write) -> Result<()> {
    let root = Root::open(upper)?;
    let top = root::stat(&root)?;
    let members = Members::new(to, latest);
    let mut writer = Writer { root, device: top.st_dev, leave_out: (0, 0), layer: true, members };
    writer.below(Path::new(""), &top)?;
    writer.members.finish()
}

struct Writer<W: Write> {
    root: Root,
    device: u64,
    leave_out: (u64, u64),
    /// Whether these are the changes of an overlay.
    layer: bool,
    members: Members<W>,
}

impl<W: Write> Writer<W> {
    fn one(&mut self, path: &Path, stat: &FileStat) -> Result<()> {
        let parent = self.directory(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().unwrap_or(OsStr::new("."));
        self.members.add(&parent, name, stat, path)?;
        drop(parent);
        match whiteout::kind(stat).bits() {
            libc::S_IFDIR => self.below(path, stat),
            _ => Ok(()),
        }
    }

    /// One name of an overlay's changes.
    fn change(&mut self, path: &Path, stat: &FileStat) -> Result<()> {
        let name = path.file_name().unwrap_or_default();
        not_a_whiteout(name)?;
        if !whiteout::is(stat) {
            return self.one(path, stat);
        }
        let mut gone = OsString::from(".wh.");
        gone.push(name);
        self.mark(&path.with_file_name(gone), stat)
    }

    /// An empty file, whose name says something.
    fn mark(&mut self, path: &Path, stat: &FileStat) -> Result<()> {
        let (uid, gid, time) = (stat.st_uid, stat.st_gid, stat.st_mtime);
        self.members.text(path, &Owned { mode: 0, uid, gid, time }, b"")
    }

    fn below(&mut self, path: &Path, stat: &FileStat) -> Result<()> {
        if stat.st_dev != self.device || (stat.st_dev, stat.st_ino) == self.leave_out {
            return Ok(());
        }
        let dir = self.directory(path)?;
        let mut names = Vec::new();
        trees::each_name(&dir, |name| {
            names.push(name.to_owned());
            Ok(())
        })?;
        names.sort();
        // This comes first: it is about what lies below.
        if self.layer && whiteout::is_opaque(&dir, in_user_namespace())? {
            self.mark(&path.join(".wh..wh..opq"), stat)?;
        }
        let stats: Vec<(OsString, Option<FileStat>)> = names
            .into_iter()
            .map(|name| whiteout::look(&dir, &name).map(|stat| (name, stat)))
            .collect::<Result<_>>()?;
        drop(dir);
        for (name, stat) in stats {
            let path = path.join(name);
            let written = match stat {
                Some(stat) if self.layer => self.change(&path, &stat),
                Some(stat) => self.one(&path, &stat),
                None => continue,
            };
            match written {
                // Who writes here may be running: what went away meanwhile was never there.
                Err(error) if error.errno == Some(Errno::ENOENT) => {}
                written => written?,
            }
        }
        Ok(())
    }

    fn directory(&self, path: &Path) -> Result<OwnedFd> {
        self.root.lookup(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
    }
}

/// A file of such a name would mean something else in a layer.
pub(crate) fn not_a_whiteout(name: &OsStr) -> Result<()> {
    match whiteout::meaning(name)? {
        whiteout::Meaning::Itself => Ok(()),
        _ => Err(Error::new(format!("the file {name:?} would be a whiteout in a layer"))),
    }
}
