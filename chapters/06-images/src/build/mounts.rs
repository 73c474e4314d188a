//! Catalogue: not needed to understand the chapter.
//!
//! `RUN --mount`: what a program has besides the stage's files, and leaves no trace of.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ch01_clone::{Context as _, Error, Result};
use ch02_chroot::Root;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::copy::is_missing;
use crate::digest;
use crate::stack::Stack;
use crate::store::Store;
use crate::whiteout::kind;

/// What every container has something mounted on.
const POINTS: [&str; 3] = ["dev", "proc", "sys"];

/// One of them, as it is written; its target has no variables yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) target: String,
    kind: Kind,
    id: Option<String>,
    read_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Kept from one build to the next, under its id or else its target.
    Cache,
    /// In memory.
    Tmpfs,
    /// A file of the user's, by its id.
    Secret {
        /// Whether it is an error if there is none.
        required: bool,
    },
}

/// A directory, or a file, that a program has while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extra {
    /// Where, from the root of the stage on.
    pub target: PathBuf,
    /// What it is on the host; none: an empty directory, in memory.
    pub source: Option<PathBuf>,
    /// Whether nothing in it can be changed.
    pub read_only: bool,
}

impl Asked {
    /// Reads `type=cache,target=PATH,id=NAME,ro`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (mut kind, mut target, mut id, mut read_only) = ("bind", None, None, false);
        let mut required = false;
        for field in text.split(',') {
            let (key, value) = field.split_once('=').unwrap_or((field, "true"));
            match (key, value) {
                ("type", value) => kind = value,
                ("target" | "dst" | "destination", value) => target = Some(value.to_owned()),
                ("id", value) => id = Some(value.to_owned()),
                ("ro" | "readonly", "true") | ("rw" | "readwrite", "false") => read_only = true,
                ("ro" | "readonly", "false") | ("rw" | "readwrite", "true") => read_only = false,
                ("required", "true") => required = true,
                ("required", "false") => required = false,
                // So it is here: several builds may use it at once.
                ("sharing", "shared") => {}
                _ => return Err(Error::new(format!("RUN --mount does not know {field:?}"))),
            }
        }
        let kind = match (kind, &id, read_only, required) {
            ("secret", Some(id), _, required) if !id.contains('/') => {
                target = target.or_else(|| Some(format!("/run/secrets/{id}")));
                read_only = true;
                Kind::Secret { required }
            }
            ("secret", ..) => return Err(Error::new("RUN --mount=type=secret wants an id")),
            ("cache", .., false) => Kind::Cache,
            ("tmpfs", None, false, false) => Kind::Tmpfs,
            ("tmpfs", ..) => return Err(Error::new("RUN --mount=type=tmpfs has only a target")),
            (other, ..) => {
                let error = Error::new(format!("RUN --mount=type={other} is not known here"));
                return Err(error.hint("there are cache, secret and tmpfs"));
            }
        };
        let target = target.filter(|target| !target.is_empty());
        let target =
            target.ok_or_else(|| Error::new(format!("RUN --mount={text}: there is no target")))?;
        Ok(Self { target, kind, id, read_only })
    }

    /// With its target, now that this is known; nothing for a secret that nobody has given.
    pub(super) fn at(
        &self,
        store: &Store,
        secrets: &BTreeMap<String, PathBuf>,
        target: &str,
    ) -> Result<Option<Extra>> {
        let id = self.id.as_deref().unwrap_or(target);
        let source = match self.kind {
            Kind::Tmpfs => None,
            Kind::Cache => {
                // Any text may be an id.
                let dir = store.caches().join(digest::of(id.as_bytes()).digest());
                fs::create_dir_all(&dir).call(|| format!("mkdir({dir:?})"))?;
                Some(dir)
            }
            Kind::Secret { required } => match secrets.get(id) {
                Some(file) => Some(file.clone()),
                None if required => {
                    return Err(Error::new(format!("secret {id:?} was not given"))
                        .hint(format!("give it: --secret id={id},src=FILE")));
                }
                None => return Ok(None),
            },
        };
        Ok(Some(Extra { target: target.into(), source, read_only: self.read_only }))
    }
}

impl Store {
    /// Where caches are: `ROOT/caches/SHA256-OF-ID`.
    pub(super) fn caches(&self) -> PathBuf {
        self.root.join("caches")
    }
}

/// What has to be made in a stage for something to be mounted there, the deepest first.
pub(super) fn points(stage: &Stack, extras: &[Extra]) -> Result<Vec<PathBuf>> {
    let mut missing = Vec::new();
    let targets = extras.iter().map(|extra| extra.target.as_path());
    for target in POINTS.iter().map(Path::new).chain(targets) {
        let (real, _) = match stage.follow(target) {
            // Whoever mounts it says what is wrong.
            Err(_) => continue,
            Ok(followed) => followed,
        };
        let names = real.ancestors().filter(|path| !path.as_os_str().is_empty());
        for path in names {
            if stage.find(path)?.is_none() && !missing.iter().any(|other| other == path) {
                missing.push(path.to_owned());
            }
        }
    }
    missing.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    Ok(missing)
}

/// Takes them away from what a program has changed, as far as they are nothing else.
pub(super) fn without(upper: &Path, points: &[PathBuf]) -> Result<()> {
    let root = Root::open(upper)?;
    for path in points {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let parent = match root.lookup(parent, OFlag::O_PATH | OFlag::O_DIRECTORY) {
            Err(error) if is_missing(&error) => continue,
            parent => parent?,
        };
        match unlinkat(&parent, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT | Errno::ENOTEMPTY) => {}
            Err(Errno::ENOTDIR) => without_file(&parent, name)?,
            failed => failed.call(|| format!("rmdir({path:?})"))?,
        }
    }
    Ok(())
}

/// A file that something was mounted on is empty.
fn without_file(parent: &OwnedFd, name: &OsStr) -> Result<()> {
    let about = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW).call(|| "fstatat")?;
    match kind(&about) == SFlag::S_IFREG && about.st_size == 0 {
        true => unlinkat(parent, name, UnlinkatFlags::NoRemoveDir).call(|| "unlinkat"),
        false => Ok(()),
    }
}
