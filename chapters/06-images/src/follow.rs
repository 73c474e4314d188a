//! Catalogue: not needed to understand the chapter.
//!
//! Where a path leads in a stack of layers: following links as the kernel would, had it
//! been mounted.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use ch02_chroot::root;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag};

use crate::place::open_directory;
use crate::stack::{Found, Stack};
use crate::{trees, whiteout};

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
        let mut walk = None;
        while let Some(part) = todo.pop_front() {
            let by_link = of_link > 0;
            of_link = of_link.saturating_sub(1);
            if part == ".." {
                real.pop();
                (walk, found) = (None, None);
                continue;
            }
            // After a link, or `..`, from the root again.
            let mut here = walk.take().map_or_else(|| self.walk(&real), Ok)?;
            found = here.step(&part)?;
            real.push(&part);
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
                Some(_) => walk = Some(here),
            }
        }
        // After `..`, or for the root itself, it was not looked at yet.
        let found = found.map_or_else(|| self.find(&real), |found| Ok(Some(found)))?;
        Ok((real, found))
    }

    /// Whether the directory `parent`, whose links are followed, has `name`: a link, too.
    pub(crate) fn has(&self, parent: &Path, name: &OsStr) -> Result<bool> {
        let (real, _) = self.follow(parent)?;
        Ok(self.find(&real.join(name))?.is_some())
    }

    /// A walk that has come to the directory `real`, none of whose names is a link.
    pub(crate) fn walk(&self, real: &Path) -> Result<Walk> {
        let in_user_namespace = self.in_user_namespace;
        let mut walk = Walk { dirs: Vec::new(), next: None, in_user_namespace };
        for (layer, root) in self.layers.iter().enumerate() {
            let root = root.lookup("", OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
            if walk.shows(layer, root)? {
                break;
            }
        }
        for part in real {
            walk.enter()?;
            walk.next = Some(part.to_owned());
        }
        walk.enter()?;
        Ok(walk)
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

/// A way down through the whole tree, name by name. What [`find`](Stack::find) sees at each
/// of them, for the price of one: paths may have 2,000 names, and archives a million paths.
pub(crate) struct Walk {
    /// The directory, as each layer has it that shows there, by its number.
    dirs: Vec<(usize, OwnedFd)>,
    /// Where in it the next step begins. Only then is it opened: it may be made first.
    next: Option<OsString>,
    in_user_namespace: bool,
}

impl Walk {
    /// Goes on to `name`, and says what that is.
    pub(crate) fn step(&mut self, name: &OsStr) -> Result<Option<Found>> {
        self.enter()?;
        self.next = Some(name.to_owned());
        self.find(name)
    }

    /// What `name` is in the directory that it has come to.
    pub(crate) fn find(&self, name: &OsStr) -> Result<Option<Found>> {
        for (layer, dir) in &self.dirs {
            let Some(stat) = whiteout::look(dir, name)? else { continue };
            if whiteout::is(&stat) {
                return Ok(None);
            }
            let dir = dir.try_clone().call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
            return Ok(Some(Found { layer: *layer, dir, name: name.to_owned(), stat }));
        }
        Ok(None)
    }

    /// The names in it, in order.
    pub(crate) fn names(&self) -> Result<BTreeSet<OsString>> {
        let (mut names, mut gone) = (BTreeSet::new(), BTreeSet::new());
        for (_, dir) in &self.dirs {
            trees::each_name(dir, |name| {
                let stat = whiteout::look(dir, name)?;
                match stat.is_some_and(|stat| whiteout::is(&stat)) {
                    true => drop(gone.insert(name.to_owned())),
                    false if !gone.contains(name) => drop(names.insert(name.to_owned())),
                    false => {}
                }
                Ok(())
            })?;
        }
        Ok(names)
    }

    /// What is no directory hides those below it; a whiteout is none.
    fn enter(&mut self) -> Result<()> {
        let Some(name) = self.next.take() else { return Ok(()) };
        for (layer, dir) in std::mem::take(&mut self.dirs) {
            let Some(stat) = whiteout::look(&dir, &name)? else { continue };
            if whiteout::kind(&stat) != SFlag::S_IFDIR
                || self.shows(layer, open_directory(&dir, &name)?)?
            {
                break;
            }
        }
        Ok(())
    }

    /// One more layer's directory; whether it is the last that shows.
    fn shows(&mut self, layer: usize, dir: OwnedFd) -> Result<bool> {
        let last = whiteout::is_opaque(&dir, self.in_user_namespace)?;
        self.dirs.push((layer, dir));
        Ok(last)
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
