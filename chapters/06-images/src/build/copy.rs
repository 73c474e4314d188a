//! Catalogue: not needed to understand the chapter.
//!
//! `COPY` and `ADD`: from files in a tree to an archive that is a layer. Links on the way to
//! the destination are followed in the stage's own tree, and nowhere else.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ch01_clone::{Error, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::{FileStat, SFlag};

use super::ignore::Ignore;
use crate::archive::not_a_whiteout;
use crate::member::{Members, Owned};
use crate::stack::{Found, Stack};
use crate::whiteout::kind;

/// A tree that files are taken from.
#[derive(Clone)]
pub(crate) struct Tree {
    pub(crate) stack: Rc<Stack>,
    /// What it is as if it were not there.
    pub(crate) ignore: Rc<Ignore>,
    /// Whether files belong to whom they belong in it; else to root.
    pub(crate) owners: bool,
}

/// A file or a directory of a tree, that was asked for.
pub(crate) struct Source {
    pub(crate) tree: Tree,
    /// Where it is, no name of it a link.
    pub(crate) real: PathBuf,
    /// What it is called in a directory.
    pub(crate) name: String,
    pub(crate) found: Found,
}

/// What comes where, and how.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) sources: Vec<Source>,
    /// Files that are made up: their names and contents.
    pub(crate) texts: Vec<(String, Vec<u8>)>,
    /// From the root of the stage on.
    pub(crate) to: String,
    /// To whom all of it belongs: user and group.
    pub(crate) owner: Option<(u32, u32)>,
    /// The permissions of all of it.
    pub(crate) mode: Option<u32>,
}

impl Plan {
    /// Writes the layer, to be laid over `stage`. Times after `latest` become it.
    ///
    /// # Errors
    /// A file in the way of a directory, or the other way about; what cannot be read.
    pub(crate) fn write(&self, stage: &Stack, latest: i64, to: &mut dyn Write) -> Result<()> {
        let members = Members::new(to, Some(latest));
        let mut copier = Copier {
            plan: self,
            stage,
            time: latest,
            members,
            made: HashSet::new(),
            pending: Vec::new(),
        };
        let (real, there) = stage.follow(Path::new(&self.to))?;
        let there = there.map(|found| is_directory(&found.stat));
        // With nothing to copy it is a directory that is wanted.
        let nothing = self.sources.is_empty() && self.texts.is_empty();
        let slash = self.to.ends_with('/') || self.to.ends_with("/.");
        let directory = slash || nothing || there == Some(true);
        if nothing || slash {
            copier.directory(&real)?;
        }
        for source in &self.sources {
            if is_directory(&source.found.stat) {
                copier.directory(&real)?;
                copier.contents(&source.tree, &source.real, &real)?;
            } else {
                let path = if directory { real.join(&source.name) } else { real.clone() };
                copier.file(&source.tree, &source.found, &path)?;
            }
        }
        for (name, content) in &self.texts {
            let path = if directory { real.join(name) } else { real.clone() };
            copier.text(&path, content)?;
        }
        copier.members.finish()
    }
}

struct Copier<'a, W: Write> {
    plan: &'a Plan,
    stage: &'a Stack,
    time: i64,
    members: Members<W>,
    /// Directories that the layer has already.
    made: HashSet<PathBuf>,
    /// Directories of a source that come only if something in them does.
    pending: Vec<(FileStat, Found, PathBuf)>,
}

impl<W: Write> Copier<'_, W> {
    /// A directory is there, with those above it: the stage's own, or a new one.
    fn directory(&mut self, path: &Path) -> Result<()> {
        if path.as_os_str().is_empty() || self.made.contains(path) {
            return Ok(());
        }
        if self.may_be_directory(path)? {
            return Ok(());
        }
        self.directory(path.parent().unwrap_or(Path::new("")))?;
        let (uid, gid) = self.plan.owner.unwrap_or_default();
        let owned = Owned { mode: 0o755, uid, gid, time: self.time };
        self.members.directory(path, &owned)?;
        self.made.insert(path.to_owned());
        Ok(())
    }

    /// Whether there is a directory; a file there is an error.
    fn may_be_directory(&self, path: &Path) -> Result<bool> {
        match self.stage.find(path)? {
            Some(found) if !is_directory(&found.stat) => Err(Error::new(format!(
                "cannot copy to non-directory: {:?}",
                Path::new("/").join(path)
            ))),
            found => Ok(found.is_some()),
        }
    }

    fn file(&mut self, tree: &Tree, found: &Found, path: &Path) -> Result<()> {
        if self.stage.find(path)?.is_some_and(|there| is_directory(&there.stat)) {
            let path = Path::new("/").join(path);
            return Err(Error::new(format!("cannot replace the directory {path:?} by a file")));
        }
        self.flush()?;
        self.directory(path.parent().unwrap_or(Path::new("")))?;
        not_a_whiteout(path.file_name().unwrap_or_default())?;
        let stat = self.dressed(tree, &found.stat);
        self.members.add(&found.dir, &found.name, &stat, path)
    }

    fn text(&mut self, path: &Path, content: &[u8]) -> Result<()> {
        self.directory(path.parent().unwrap_or(Path::new("")))?;
        let (uid, gid) = self.plan.owner.unwrap_or_default();
        let owned = Owned { mode: self.plan.mode.unwrap_or(0o644), uid, gid, time: self.time };
        self.members.text(path, &owned, content)
    }

    /// What a directory holds, in order.
    fn contents(&mut self, tree: &Tree, from: &Path, to: &Path) -> Result<()> {
        for name in tree.stack.names(from)? {
            let (from, to) = (from.join(&name), to.join(&name));
            let out = tree.ignore.excludes(&from.to_string_lossy());
            let Some(found) = tree.stack.find(&from)? else { continue };
            if !is_directory(&found.stat) {
                if !out {
                    self.file(tree, &found, &to)?;
                }
                continue;
            }
            if out && !tree.ignore.takes_back() {
                continue;
            }
            not_a_whiteout(&name)?;
            self.may_be_directory(&to)?;
            let before = self.pending.len();
            self.pending.push((self.dressed(tree, &found.stat), found, to.clone()));
            if !out {
                self.flush()?;
            }
            self.contents(tree, &from, &to)?;
            self.pending.truncate(before);
        }
        Ok(())
    }

    /// Something comes: so do the directories that it is in.
    fn flush(&mut self) -> Result<()> {
        for (stat, found, path) in std::mem::take(&mut self.pending) {
            self.members.add(&found.dir, &found.name, &stat, &path)?;
            self.made.insert(path);
        }
        Ok(())
    }

    /// With the owner and the permissions that it is to have.
    fn dressed(&self, tree: &Tree, stat: &FileStat) -> FileStat {
        let mut stat = *stat;
        if !tree.owners {
            (stat.st_uid, stat.st_gid) = (0, 0);
        }
        if let Some((uid, gid)) = self.plan.owner {
            (stat.st_uid, stat.st_gid) = (uid, gid);
        }
        if let Some(mode) = self.plan.mode.filter(|_| kind(&stat) != SFlag::S_IFLNK) {
            stat.st_mode = stat.st_mode & libc::S_IFMT | mode;
        }
        stat
    }
}

pub(crate) fn is_directory(stat: &FileStat) -> bool {
    kind(stat) == SFlag::S_IFDIR
}

/// Whether an error only says that nothing is there.
pub(crate) fn is_missing(error: &Error) -> bool {
    matches!(error.errno, Some(Errno::ENOENT | Errno::ENOTDIR))
}
