//! Catalogue: not needed to understand the chapter.
//!
//! The layers of an image, from its blobs to directories: while it is pulled, or when
//! somebody wants to run it.
//!
//! A layer is unpacked in view of those below it (see [`stack`](crate::stack)), and so the
//! lowest comes first. What takes time, gunzip, is done ahead by a thread of its own.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use oci_spec::image::{Digest, ImageConfiguration};

use crate::ingest::{self, Ingest};
use crate::space::Limits;
use crate::stack::chain_ids;
use crate::store::{Image, Store};
use crate::{digest, name};

/// Layers on their way from blobs to directories, the lowest first.
pub(crate) struct Unpacking<'a> {
    ingest: &'a Ingest,
    /// What each layer is to be, and where.
    todo: VecDeque<(Digest, PathBuf)>,
    /// Those that are done or were there, the topmost first.
    here: VecDeque<PathBuf>,
    /// Those that were there. They may belong to another image, which may go.
    held: Vec<(File, PathBuf)>,
    /// Those that are done, and their places.
    new: Vec<(PathBuf, PathBuf)>,
}

impl Store {
    /// The image that somebody means by a name, or by the beginning of an id, with
    /// its layers unpacked.
    ///
    /// # Errors
    /// `Unable to find image 'NAME' locally`, as docker says it.
    pub fn resolve(&self, wanted: &str) -> Result<Image> {
        self.resolve_then(wanted, |image| Ok(image.clone()))
    }

    /// As [`resolve`](Store::resolve), and `then` runs before anybody can remove
    /// the image: it writes down who uses it.
    pub fn resolve_then<T>(
        &self,
        wanted: &str,
        then: impl FnOnce(&Image) -> Result<T>,
    ) -> Result<T> {
        loop {
            let lock = self.lock_shared()?;
            let image = self.find(wanted)?.ok_or_else(|| match name::parse(wanted) {
                Ok(name) => Error::new(format!("Unable to find image '{name}' locally")),
                Err(error) => error,
            })?;
            if image.layers.iter().all(|layer| layer.exists()) {
                return then(&image);
            }
            drop(lock);
            self.unpack(&image)?;
        }
    }

    /// Unpacks those layers of an image that are not there yet, the lowest first.
    pub fn unpack(&self, image: &Image) -> Result<()> {
        let ingest = Ingest::begin(self)?;
        let mut unpacking = self.unpacking(&image.config, &ingest)?;
        for layer in image.manifest.layers() {
            let blob = self.blob(layer.digest())?;
            unpacking.next(|| File::open(&blob).call(|| format!("open({blob:?})")))?;
        }
        ingest.sync()?;
        let lock = self.lock_shared()?;
        // Not for an image that was removed meanwhile.
        if self.find(&image.id)?.is_some() {
            unpacking.place()?;
        }
        drop(lock);
        ingest.finish()
    }

    /// Begins with the layers of an image, which need not be here yet.
    pub(crate) fn unpacking<'a>(
        &self,
        config: &ImageConfiguration,
        ingest: &'a Ingest,
    ) -> Result<Unpacking<'a>> {
        let mut todo = VecDeque::new();
        let ids = config.rootfs().diff_ids();
        for (diff_id, chain_id) in ids.iter().zip(chain_ids(ids)?) {
            todo.push_back((digest::parse(diff_id)?, self.layer(&chain_id)));
        }
        let (here, held, new) = Default::default();
        Ok(Unpacking { ingest, todo, here, held, new })
    }
}

impl Unpacking<'_> {
    /// Unpacks the next layer, if it is not there. `blob` opens it, and may wait for it.
    pub(crate) fn next<R: Read + Send>(&mut self, blob: impl FnOnce() -> Result<R>) -> Result<()> {
        let Some((wanted, place)) = self.todo.pop_front() else { return Ok(()) };
        if let Ok(dir) = File::open(&place) {
            self.held.push((dir, place.clone()));
            self.here.push_front(place);
            return Ok(());
        }
        let layer =
            self.ingest.unpack_from(blob()?, self.here.make_contiguous(), Limits::default())?;
        if layer.diff_id != wanted {
            let what = format!("the layer is {}, and should be {wanted}", layer.diff_id);
            return Err(Error::new(what).hint("remove the image and get it again"));
        }
        self.here.push_front(layer.path.clone());
        self.new.push((layer.path, place));
        Ok(())
    }

    /// Puts the layers in their places, unless one that was there has gone meanwhile: those
    /// above it may have seen half of it. The caller holds the lock.
    pub(crate) fn place(&self) -> Result<()> {
        if !self.held()? {
            return Ok(());
        }
        self.new.iter().try_for_each(|(layer, place)| ingest::place(layer, place))
    }

    /// Whether all that was there when it was come to is still there.
    pub(crate) fn held(&self) -> Result<bool> {
        let same = |(dir, path): &(File, PathBuf)| {
            let ours = dir.metadata().call(|| "fstat")?.ino();
            Ok(inode(path).is_some_and(|there| there == ours))
        };
        self.held.iter().map(same).try_fold(true, |all, one: Result<bool>| Ok(all && one?))
    }
}

/// It cannot come again as long as somebody has it open.
fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|about| about.ino())
}
