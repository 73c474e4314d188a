//! Catalogue: not needed to understand the chapter.
//!
//! All of an image is here: it comes into its place, and its name last, in one hold of
//! the lock.

use std::fs;

use ch01_clone::{Context, Error, Result};
use oci_spec::image::{Descriptor, DescriptorBuilder, ImageConfiguration, MediaType};

use super::download::Downloads;
use super::leftovers::remove;
use super::pull::Wanted;
use crate::import::platform;
use crate::ingest::{self, Ingest};
use crate::moving;
use crate::name::Reference;
use crate::store::{SOURCE, Store, renamed};
use crate::unpack::Unpacking;

impl Store {
    /// Puts all of it in its place, and the name last.
    pub(super) fn place(
        &self,
        downloads: &Downloads<'_>,
        wanted: &Wanted,
        blobs: &[Descriptor],
        unpacking: &Unpacking<'_>,
        reference: &Reference,
    ) -> Result<()> {
        let ingest = downloads.ingest;
        let bytes = &wanted.document.bytes;
        let write = |to: &mut dyn std::io::Write| {
            to.write_all(bytes).map_err(|error| moving("writing a manifest", error))
        };
        let manifest = ingest.blob("manifest", write)?;
        ingest.sync()?;
        let lock = self.lock()?;
        for blob in blobs {
            let (from, to) = (downloads.kept(blob), self.blob(blob.digest())?);
            fs::rename(&from, &to).call(|| format!("rename({from:?}, {to:?})"))?;
        }
        unpacking.place()?;
        // This one's directory is synced, and with it all blobs are.
        ingest::place(&manifest.path, &self.blob(&manifest.digest)?)?;
        self.enter(ingest, wanted, reference)?;
        // Killed before this, the next pull finds them here.
        for blob in blobs {
            remove(&downloads.whole(blob))?;
        }
        drop(lock);
        Ok(())
    }

    /// Writes the image into the index. The caller holds the lock.
    fn enter(&self, ingest: &Ingest, wanted: &Wanted, reference: &Reference) -> Result<()> {
        let document = &wanted.document;
        let config: ImageConfiguration = self.json(wanted.manifest.config())?;
        let mut entry = DescriptorBuilder::default()
            // Docker's is the same in other words, and says so itself. But in a layout skopeo
            // and its like read only what the layout calls the OCI's.
            .media_type(MediaType::ImageManifest)
            .digest(document.digest.clone())
            .size(document.bytes.len() as u64)
            .annotations([(SOURCE.to_owned(), reference.at(wanted.digest.as_ref()))])
            .build()
            .map_err(|error| Error::new(error.to_string()))?;
        entry.set_platform(platform(&config));
        match reference.tagged() {
            Some(name) => self.tag(ingest, renamed(entry, Some(&name)), Some(&name)),
            // By digest: kept without a name, found by where it is from.
            None => {
                let mut index = self.index()?;
                let mut entries = index.manifests().clone();
                entries.retain(|old| *old != entry);
                entries.push(entry);
                index.set_manifests(entries);
                self.write_index(ingest, &index)
            }
        }
    }
}
