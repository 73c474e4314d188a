//! Catalogue: not needed to understand the chapter.
//!
//! Finding what `COPY` and `ADD` name: paths and patterns in a tree, and archives that are
//! unpacked on the way.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ch01_clone::{Context, Error, Result};
use ch02_chroot::Root;
use nix::sys::stat::SFlag;

use super::copy::{Source, Tree, is_directory, is_missing};
use super::glob;
use super::ignore::Ignore;
use crate::compression::{self, Compression};
use crate::ingest::Ingest;
use crate::space::Limits;
use crate::stack::Stack;
use crate::whiteout::kind;

impl Tree {
    /// A directory of the host's, without what it is to be without.
    pub(crate) fn context(dir: &Path, ignore: Ignore) -> Result<Self> {
        let stack = Rc::new(Stack::from(Root::open(dir)?));
        Ok(Self { stack, ignore: Rc::new(ignore), owners: false })
    }

    /// The whole tree of an image or a stage.
    pub(crate) fn layers(layers: &[PathBuf]) -> Result<Self> {
        let stack = Rc::new(Stack::open(layers)?);
        Ok(Self { stack, ignore: Rc::default(), owners: true })
    }

    /// What a path or a pattern means in it.
    ///
    /// # Errors
    /// A path at which nothing is. A pattern that nothing fits is no error.
    pub(crate) fn find(&self, wanted: &str) -> Result<Vec<Source>> {
        let names: Vec<&str> =
            wanted.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
        let mut paths = vec![PathBuf::new()];
        for name in &names {
            paths = match glob::is_pattern(name) {
                true => self.fitting(&paths, name)?,
                false => paths.into_iter().map(|path| path.join(name)).collect(),
            };
        }
        let patterns = glob::is_pattern(wanted);
        let mut sources = Vec::new();
        for path in paths {
            match self.source(&path)? {
                Some(source) => sources.push(source),
                None if patterns => {}
                None => {
                    return Err(Error::new(format!("{wanted:?} not found")).hint(
                        match self.owners {
                            true => "there is no such file in that image or stage",
                            false => "it is not in the build context, or .dockerignore excludes it",
                        },
                    ));
                }
            }
        }
        Ok(sources)
    }

    fn fitting(&self, dirs: &[PathBuf], pattern: &str) -> Result<Vec<PathBuf>> {
        let mut fitting = Vec::new();
        for dir in dirs {
            let (real, found) = match self.stack.follow(dir) {
                Err(error) if is_missing(&error) => continue,
                followed => followed?,
            };
            if !found.is_some_and(|found| is_directory(&found.stat)) {
                continue;
            }
            let names = self.stack.names(&real)?;
            let fits = names.iter().filter(|n| glob::matches(pattern, &n.to_string_lossy()));
            fitting.extend(fits.map(|name| dir.join(name)));
        }
        Ok(fitting)
    }

    fn source(&self, path: &Path) -> Result<Option<Source>> {
        let (real, found) = match self.stack.follow(path) {
            Err(error) if is_missing(&error) => return Ok(None),
            followed => followed?,
        };
        let Some(found) = found else { return Ok(None) };
        let out = |path: &Path| self.ignore.excludes(&path.to_string_lossy());
        // Of a directory that is kept out something may come nevertheless.
        let inside = is_directory(&found.stat) && self.ignore.takes_back();
        if (out(path) || out(&real)) && !inside {
            return Ok(None);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Some(Source { tree: self.clone(), real, name, found }))
    }

    /// When the newest file in it was changed, in seconds since 1970.
    pub(crate) fn newest(&self, dir: &Path) -> Result<i64> {
        let mut newest = 0;
        for name in self.stack.names(dir)? {
            let path = dir.join(name);
            let out = self.ignore.excludes(&path.to_string_lossy());
            let Some(found) = self.stack.find(&path)? else { continue };
            newest = newest.max(match is_directory(&found.stat) {
                true if out && !self.ignore.takes_back() => 0,
                true => self.newest(&path)?,
                false if out => 0,
                false => found.stat.st_mtime,
            });
        }
        Ok(newest)
    }
}

impl Source {
    /// If it is an archive: what is in it, in a tree of its own under `ingest`.
    pub(crate) fn unpacked(self, ingest: &Ingest, number: usize) -> Result<Self> {
        if kind(&self.found.stat) != SFlag::S_IFREG {
            return Ok(self);
        }
        let file = self.tree.stack.file(&self.real)?.map(File::from);
        let file = file.ok_or_else(|| Error::new(format!("{:?} went away", self.real)))?;
        if !is_archive(&file)? {
            return Ok(self);
        }
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let unpacked = ingest.unpack(&path, &[], Limits::default())?;
        // The next one has the same name, and this one goes with it.
        let place = unpacked.path.with_file_name(format!("added-{number}"));
        std::fs::rename(&unpacked.path, &place).call(|| format!("rename({place:?})"))?;
        let tree = Tree::layers(&[place])?;
        tree.source(Path::new(""))?.ok_or_else(|| Error::new("the archive has no root"))
    }
}

/// Whether a file is a tar archive, packed or not.
fn is_archive(file: &File) -> Result<bool> {
    let again = || file.try_clone().call(|| "fcntl(F_DUPFD_CLOEXEC)");
    let mut start = [0; 6];
    let length = file.read_at(&mut start, 0).call(|| "pread")?;
    let unknown =
        [&b"\xfd7zXZ\0"[..], b"BZh"].iter().any(|magic| start[..length].starts_with(magic));
    if unknown {
        return Err(Error::new(
            "ADD unpacks archives that are packed by gzip or zstd, or not at all",
        )
        .hint("COPY takes it as it is"));
    }
    match compression::detect(again()?) {
        Ok((Compression::None, _)) => Ok(true),
        Ok((kind, peeked)) => {
            let plain = kind.reader(peeked).and_then(compression::detect);
            Ok(plain.is_ok_and(|(kind, _)| kind == Compression::None))
        }
        Err(_) => Ok(false),
    }
}
