//! Catalogue: not needed to understand the chapter.
//!
//! Where a path leads in a stack of layers: following links as the kernel would, had it
//! been mounted.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use ch02_chroot::root;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag};

use crate::stack::{Found, Stack};
use crate::whiteout;

/// As many links as the kernel follows in one path.
const LINKS: u32 = 40;

impl Stack {
    /// Where `path` leads when its links are followed, inside the tree, and what is there.
    /// Names at its end that do not exist stay as they are.
    ///
    /// # Errors
    /// A link that leads nowhere, or too many; a file in the place of a directory.
    pub fn follow(&self, path: &Path) -> Result<(PathBuf, Option<Found>)> {
        let mut todo: VecDeque<OsString> = names(path).collect();
        let (mut real, mut found) = (PathBuf::new(), None);
        let (mut links, mut of_link) = (0, 0usize);
        while let Some(part) = todo.pop_front() {
            let by_link = of_link > 0;
            of_link = of_link.saturating_sub(1);
            if part == ".." {
                real.pop();
                continue;
            }
            real.push(&part);
            found = self.find(&real)?;
            match &found {
                None if by_link => return Err(in_the_way(path)),
                None => {
                    real.extend(todo);
                    return Ok((real, None));
                }
                Some(at) if whiteout::kind(&at.stat) == SFlag::S_IFLNK => {
                    links += 1;
                    if links > LINKS {
                        return Err(Error::os(format!("{path:?}"), Errno::ELOOP));
                    }
                    let target = readlinkat(&at.dir, &*at.name).call(|| "readlinkat")?;
                    match target.as_encoded_bytes().first() {
                        Some(b'/') => real.clear(),
                        _ => drop(real.pop()),
                    }
                    let more: Vec<OsString> = names(Path::new(&target)).collect();
                    of_link += more.len();
                    more.into_iter().rev().for_each(|name| todo.push_front(name));
                    found = None;
                }
                Some(at) if !todo.is_empty() && whiteout::kind(&at.stat) != SFlag::S_IFDIR => {
                    return Err(in_the_way(&real));
                }
                Some(_) => {}
            }
        }
        // After `..`, or for the root itself, it was not looked at yet.
        let found = found.map_or_else(|| self.find(&real), |found| Ok(Some(found)))?;
        Ok((real, found))
    }

    /// The file at `path`, open for reading; `None` if there is none.
    pub fn file(&self, path: &Path) -> Result<Option<OwnedFd>> {
        let found = match self.follow(path) {
            Err(error) if matches!(error.errno, Some(Errno::ENOTDIR)) => return Ok(None),
            followed => followed?.1,
        };
        let Some(found) = found else { return Ok(None) };
        // Looked at before it is opened: to open a device may have effects of its own.
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let place = openat(&found.dir, &*found.name, flags, Mode::empty());
        let place = place.call(|| format!("openat({path:?})"))?;
        if whiteout::kind(&root::stat(&place)?) != SFlag::S_IFREG {
            let path = Path::new("/").join(path);
            return Err(Error::new(format!("the image's {path:?} is not a file")));
        }
        root::reopen(&place, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).map(Some)
    }
}

fn names(path: &Path) -> impl Iterator<Item = OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        _ => None,
    };
    path.components().filter_map(name).collect::<Vec<_>>().into_iter()
}

pub(crate) fn in_the_way(path: &Path) -> Error {
    Error::os(format!("{path:?} is in the way"), Errno::ENOTDIR)
}
