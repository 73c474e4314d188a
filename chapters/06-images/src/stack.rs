//! Layers lying over each other, seen as one tree without mounting anything.
//!
//! A layer is not a tree of its own. `lib/new` may mean `usr/lib/new`, since `lib`
//! is a link in a layer below; a directory that it does not mention has an owner
//! and a mode there; a hard link may be to a file that came long ago. So a layer is
//! unpacked in view of those below, and belongs to them: its name on the disk is its
//! chain id, which says all of them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Result};
use ch02_chroot::devices::in_user_namespace;
use ch02_chroot::{Root, root};
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag};
use oci_spec::image::Digest;

use crate::place::open_directory;
use crate::{digest, whiteout};

/// Layers, the topmost first.
#[derive(Debug)]
pub struct Stack {
    pub(crate) layers: Vec<Root>,
    pub(crate) in_user_namespace: bool,
}

/// What lies at a path of the whole tree.
#[derive(Debug)]
pub struct Found {
    /// The number of the layer that it is in; 0 is the topmost.
    pub layer: usize,
    /// The directory that it is in, of that layer.
    pub dir: OwnedFd,
    /// Its name there.
    pub name: OsString,
    /// What it is.
    pub stat: FileStat,
}

impl Stack {
    /// The layers in these directories, the topmost first.
    pub fn open(layers: &[PathBuf]) -> Result<Self> {
        let layers = layers.iter().map(|layer| Root::open(layer)).collect::<Result<_>>()?;
        Ok(Self { layers, in_user_namespace: in_user_namespace() })
    }

    /// The same with one more on top.
    pub(crate) fn under(mut self, top: &Root) -> Result<Self> {
        let top = top.as_fd().try_clone_to_owned().call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
        self.layers.insert(0, Root::from(top));
        Ok(self)
    }

    /// Whether there is any layer below the topmost.
    pub(crate) fn is_high(&self) -> bool {
        self.layers.len() > 1
    }

    /// The root of the layer right below the topmost.
    pub(crate) fn root_below(&self) -> Result<Option<Found>> {
        let Some(below) = self.layers.get(1) else { return Ok(None) };
        let dir = below.lookup("", OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let stat = root::stat(&dir)?;
        Ok(Some(Found { layer: 1, dir, name: ".".into(), stat }))
    }

    /// What lies at `path`, none of whose names is a link.
    // ANCHOR: find
    pub fn find(&self, path: &Path) -> Result<Option<Found>> {
        for (layer, root) in self.layers.iter().enumerate() {
            match self.look(root, path)? {
                Look::Here(dir, name, stat) => return Ok(Some(Found { layer, dir, name, stat })),
                Look::Nowhere => return Ok(None),
                Look::Below => {}
            }
        }
        Ok(None)
    }
    // ANCHOR_END: find

    /// The names in the directory `path`, in order; none of its own names is a link.
    pub fn names(&self, path: &Path) -> Result<BTreeSet<OsString>> {
        self.walk(path)?.names()
    }

    /// As overlayfs looks: a whiteout hides what is below it, and so does an opaque directory.
    fn look(&self, root: &Root, path: &Path) -> Result<Look> {
        let mut dir = root.lookup("", OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let mut hidden = false;
        let mut parts = path.iter().peekable();
        while let Some(part) = parts.next() {
            hidden |= whiteout::is_opaque(&dir, self.in_user_namespace)?;
            let Some(stat) = whiteout::look(&dir, part)? else { break };
            if whiteout::is(&stat) {
                return Ok(Look::Nowhere);
            }
            if parts.peek().is_none() {
                return Ok(Look::Here(dir, part.to_owned(), stat));
            }
            if whiteout::kind(&stat) != SFlag::S_IFDIR {
                return Ok(Look::Nowhere);
            }
            dir = open_directory(&dir, part)?;
        }
        if path.as_os_str().is_empty() {
            let stat = root::stat(&dir)?;
            return Ok(Look::Here(dir, ".".into(), stat));
        }
        Ok(if hidden { Look::Nowhere } else { Look::Below })
    }
}

impl From<Root> for Stack {
    fn from(whole: Root) -> Self {
        Self { layers: vec![whole], in_user_namespace: in_user_namespace() }
    }
}

enum Look {
    Here(OwnedFd, OsString, FileStat),
    Nowhere,
    Below,
}

/// What each layer is with all that are below it (image-spec, "layer ChainID"); the lowest first.
pub fn chain_ids(diff_ids: &[String]) -> Result<Vec<Digest>> {
    // ANCHOR: chain-ids
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for id in diff_ids {
        let id = digest::parse(id)?;
        chain.push(match chain.last() {
            None => id,
            Some(below) => digest::of(format!("{below} {id}").as_bytes()),
        });
    }
    Ok(chain)
    // ANCHOR_END: chain-ids
}
