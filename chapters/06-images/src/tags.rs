//! Catalogue: not needed to understand the chapter.
//!
//! Names of images, and what is known of one.

use std::fs;

use ch01_clone::{Context, Error, Result};
use oci_spec::image::{Descriptor, MediaType};
use serde_json::Value;

use crate::ingest::Ingest;
use crate::name;
use crate::store::{Image, Store};

impl Store {
    /// Gives an image one more name. Another image that had it goes without.
    pub fn tag_image(&self, wanted: &str, name: &str) -> Result<()> {
        let name = name::for_tagging(name)?;
        let ingest = Ingest::begin(self)?;
        let lock = self.lock()?;
        let image = self.known(wanted)?;
        let entry = crate::store::renamed(image.entry, Some(&name));
        self.tag(&ingest, entry, Some(&name))?;
        drop(lock);
        ingest.finish()
    }

    /// An image by its name or id, whether its layers are unpacked or not.
    ///
    /// # Errors
    /// `No such image: NAME`, as docker says it.
    pub fn look(&self, wanted: &str) -> Result<Image> {
        let _lock = self.lock_shared()?;
        self.known(wanted)
    }

    fn known(&self, wanted: &str) -> Result<Image> {
        self.find(wanted)?.ok_or_else(|| no_such_image(wanted))
    }

    /// The whole of its configuration, with what only docker knows (`Healthcheck`, `Shell`).
    pub fn document(&self, image: &Image) -> Result<Value> {
        self.json(image.manifest.config())
    }

    /// What all images take on the disk, in bytes: what several share counts once.
    pub fn size(&self) -> Result<u64> {
        let dir = self.blobs();
        let entries = fs::read_dir(&dir).call(|| format!("opendir({dir:?})"))?;
        Ok(entries.flatten().filter_map(|blob| blob.metadata().ok()).map(|blob| blob.len()).sum())
    }
}

impl Image {
    /// All that belongs to it: its layers, its configuration, its manifest.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifest.layers().iter().chain([self.manifest.config(), &self.entry])
    }

    /// What its manifest calls itself: the OCI's, or docker's, which is the same in other words.
    pub(crate) fn manifest_type(&self) -> MediaType {
        self.manifest.media_type().as_ref().unwrap_or(self.entry.media_type()).clone()
    }

    /// What its layers take in the store, in bytes, the lowest first.
    pub fn layer_sizes(&self) -> Vec<u64> {
        self.manifest.layers().iter().map(Descriptor::size).collect()
    }
}

pub(crate) fn no_such_image(wanted: &str) -> Error {
    let shown = name::for_tagging(wanted).unwrap_or_else(|_| wanted.to_owned());
    Error::new(format!("No such image: {shown}"))
}
