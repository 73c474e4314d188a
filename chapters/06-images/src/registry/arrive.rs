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

impl Store {
    /// Puts all of it in its place, and the name last.
    pub(super) fn place(
        &self,
        downloads: &Downloads<'_>,
        wanted: &Wanted,
        blobs: &[Descriptor],
        reference: &Reference,
    ) -> Result<()> {
        loop {
            let ingest = Ingest::begin(self)?;
            let bytes = &wanted.document.bytes;
            let write = |to: &mut dyn std::io::Write| {
                to.write_all(bytes).map_err(|error| moving("writing a manifest", error))
            };
            let manifest = ingest.blob("manifest", write)?;
            let lock = self.lock()?;
            let missing = self.link(downloads, blobs)?;
            if missing.is_empty() {
                ingest::place(&manifest.path, &self.blob(&manifest.digest)?)?;
                self.enter(&ingest, wanted, reference)?;
                // In their place they have another name now.
                for blob in blobs {
                    remove(&downloads.whole(blob))?;
                }
                drop(lock);
                return ingest.finish();
            }
            drop(lock);
            // It was here, and went with another image meanwhile.
            self.fetch_missing(downloads, &missing)?;
        }
    }

    /// Gives blobs their place. It is a second name: killed before the image has its own,
    /// the first is still there. What is missing is returned. The caller holds the lock.
    fn link(&self, downloads: &Downloads<'_>, blobs: &[Descriptor]) -> Result<Vec<Descriptor>> {
        let mut missing = Vec::new();
        for blob in blobs {
            let (from, to) = (downloads.whole(blob), self.blob(blob.digest())?);
            match fs::hard_link(&from, &to) {
                Ok(()) => {}
                Err(_) if to.exists() => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    missing.push(blob.clone());
                }
                Err(error) => return Err(error).call(|| format!("link({from:?}, {to:?})")),
            }
        }
        crate::layout::sync_dir(&self.blobs())?;
        Ok(missing)
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
