//! Catalogue: not needed to understand the chapter.
//!
//! What was built before, by what it was built from.
//!
//! `ROOT/build.json` is an index as the images' is one: each entry is an image of all layers
//! up to one that was made, annotated by a key, which is the digest of what went into it.
//! What it lists stays in the store until [`forget_builds`](Store::forget_builds).

use std::fs::{File, TryLockError};
use std::path::PathBuf;

use ch01_clone::{Context, Error, Result};
use oci_spec::image::{Descriptor, Digest, ImageConfiguration, ImageIndex, RootFs};

use super::layer::Packed;
use crate::import::{json_blob, manifest};
use crate::ingest::{self, Ingest};
use crate::layout::{parse, read, to_json};
use crate::store::{Image, Store};

/// The annotation that says what a layer was made of.
const KEY: &str = "org.dockster.build.key";

/// The layers of a stage, the lowest first.
#[derive(Debug, Clone)]
pub(crate) struct Layers {
    /// An image in the store that has just these.
    pub(crate) image: Image,
}

impl Layers {
    /// What all of them together are: their chain id, or nothing.
    pub(crate) fn id(&self) -> String {
        let top = self.image.layers.first().and_then(|layer| layer.file_name());
        top.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// Their directories, the topmost first.
    pub(crate) fn dirs(&self) -> &[PathBuf] {
        &self.image.layers
    }

    pub(crate) fn diff_ids(&self) -> Vec<String> {
        self.image.config.rootfs().diff_ids().clone()
    }

    pub(crate) fn descriptors(&self) -> Vec<Descriptor> {
        self.image.manifest.layers().clone()
    }
}

impl Store {
    /// To be held as long as something is built: what is in the cache stays meanwhile.
    pub(crate) fn lock_builds(&self) -> Result<File> {
        let file = self.builds_lock()?;
        file.lock_shared().call(|| "flock(build.lock, LOCK_SH)")?;
        Ok(file)
    }

    /// Forgets all that was built before; what no image needs is removed. How many layers
    /// it was.
    ///
    /// # Errors
    /// While something is being built.
    pub fn forget_builds(&self) -> Result<usize> {
        let builds = self.builds_lock()?;
        match builds.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new("an image is being built just now"));
            }
            locked => locked.map_err(std::io::Error::from).call(|| "flock(build.lock)")?,
        }
        let ingest = Ingest::begin(self)?;
        let lock = self.lock()?;
        let known = self.builds()?.manifests().len();
        self.write_builds(&ingest, &ImageIndex::default())?;
        self.collect(&self.index()?, &ingest)?;
        ingest::remove(&self.caches())?;
        drop(lock);
        ingest.finish().map(|()| known)
    }

    /// The layers that were made of this before.
    pub(crate) fn built(&self, key: &Digest) -> Result<Option<Layers>> {
        let _lock = self.lock_shared()?;
        let index = self.builds()?;
        let Some(entry) =
            index.manifests().iter().find(|entry| key_of(entry) == Some(key.as_ref()))
        else {
            return Ok(None);
        };
        let image = self.load(entry)?;
        let whole = image.layers.iter().all(|layer| layer.exists());
        Ok(whole.then_some(Layers { image }))
    }

    /// The layers of an image, which stay from here on, whatever becomes of its names.
    pub(crate) fn base(&self, image: &Image, key: &Digest) -> Result<Layers> {
        let ingest = Ingest::begin(self)?;
        let layers = image.manifest.layers().clone();
        let diff_ids = image.config.rootfs().diff_ids().clone();
        self.keep_built(ingest, key, layers, diff_ids, None)
    }

    /// One more layer: in its place, and known by its key.
    pub(crate) fn one_more(
        &self,
        ingest: Ingest,
        key: &Digest,
        below: Option<&Layers>,
        packed: Packed,
    ) -> Result<Layers> {
        let mut layers = below.map(Layers::descriptors).unwrap_or_default();
        layers.push(packed.descriptor());
        let mut diff_ids = below.map(Layers::diff_ids).unwrap_or_default();
        diff_ids.push(packed.diff_id.to_string());
        self.keep_built(ingest, key, layers, diff_ids, Some(packed))
    }

    fn keep_built(
        &self,
        ingest: Ingest,
        key: &Digest,
        layers: Vec<Descriptor>,
        diff_ids: Vec<String>,
        top: Option<Packed>,
    ) -> Result<Layers> {
        let mut rootfs = RootFs::default();
        rootfs.set_diff_ids(diff_ids);
        let mut config = ImageConfiguration::default();
        config.set_rootfs(rootfs);
        let config_blob = json_blob(&ingest, "config", &config)?;
        let (mut entry, manifest) = manifest(&ingest, "manifest", &config, &config_blob, layers)?;
        entry.set_annotations(Some([(KEY.to_owned(), key.to_string())].into()));
        let unpacked = match &top {
            Some(packed) => {
                let below = self.below_of(&config)?;
                Some(ingest.unpack(&packed.blob.path, &below, Default::default())?.path)
            }
            None => None,
        };
        ingest.sync()?;
        let lock = self.lock()?;
        for blob in top.iter().map(|packed| &packed.blob).chain([&config_blob, &manifest]) {
            ingest::place(&blob.path, &self.blob(&blob.digest)?)?;
        }
        let image = self.load(&entry)?;
        self.all_there(&image)?;
        if let (Some(unpacked), Some(place)) = (unpacked, image.layers.first()) {
            ingest::place(&unpacked, place)?;
        }
        let mut index = self.builds()?;
        let mut entries = index.manifests().clone();
        entries.retain(|entry| key_of(entry) != Some(key.as_ref()));
        entries.push(entry);
        index.set_manifests(entries);
        self.write_builds(&ingest, &index)?;
        drop(lock);
        ingest.finish()?;
        Ok(Layers { image })
    }

    /// The directories below the topmost layer, the topmost of them first.
    fn below_of(&self, config: &ImageConfiguration) -> Result<Vec<PathBuf>> {
        let ids = crate::stack::chain_ids(config.rootfs().diff_ids())?;
        Ok(ids.iter().rev().skip(1).map(|id| self.layer(id)).collect())
    }

    /// Somebody may have removed the image that it is all about. The caller holds the lock.
    pub(crate) fn all_there(&self, image: &Image) -> Result<()> {
        for layer in image.manifest.layers() {
            if !self.blob(layer.digest())?.exists() {
                return Err(Error::new("the image was removed while it was built upon"));
            }
        }
        Ok(())
    }

    /// The index of what was built. The caller holds the lock.
    pub(crate) fn builds(&self) -> Result<ImageIndex> {
        let path = self.builds_file();
        match path.exists() {
            true => parse(&path, &read(&path)?),
            false => Ok(ImageIndex::default()),
        }
    }

    fn write_builds(&self, ingest: &Ingest, index: &ImageIndex) -> Result<()> {
        let bytes = to_json(index)?;
        let blob =
            ingest.blob("build.json", |to| to.write_all(&bytes).call(|| "write(build.json)"))?;
        ingest::place(&blob.path, &self.builds_file())
    }

    fn builds_file(&self) -> PathBuf {
        self.root.join("build.json")
    }

    fn builds_lock(&self) -> Result<File> {
        let path = self.root.join("build.lock");
        let mut options = File::options();
        let options = options.create(true).truncate(false).write(true);
        options.open(&path).call(|| format!("open({path:?})"))
    }
}

fn key_of(entry: &Descriptor) -> Option<&str> {
    entry.annotations().as_ref()?.get(KEY).map(String::as_str)
}
