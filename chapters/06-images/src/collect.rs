//! Catalogue: not needed to understand the chapter.
//!
//! Removing images, and then what nobody needs any more.
//!
//! What is needed is found from the index, and from that of what was built: their
//! manifests, configurations and layers. All else in the store is rubbish, since nothing comes into its place
//! before its name does, in one hold of the lock.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use ch01_clone::{Context, Error, Result};
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};

use crate::ingest::{self, Ingest};
use crate::name;
use crate::stack::chain_ids;
use crate::store::{Image, Store, name_of};

/// What was removed, in docker's two words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names.
    pub untagged: Vec<String>,
    /// Ids of images that are gone.
    pub deleted: Vec<String>,
}

impl Store {
    /// Removes a name, and with the last one the image, with what no other image
    /// needs. By an id all of its names go, if it is one or `force` is given.
    ///
    /// `last` is asked before an image goes: an error of it (a container uses it)
    /// keeps the image, and its name.
    ///
    /// # Errors
    /// `No such image: NAME`, as docker says it; a conflict.
    pub fn remove(
        &self,
        wanted: &str,
        force: bool,
        last: impl FnOnce(&Image) -> Result<()>,
    ) -> Result<Removed> {
        self.sweep()?;
        let ingest = Ingest::begin(self)?;
        let lock = self.lock()?;
        let shown = name::for_tagging(wanted).unwrap_or_else(|_| wanted.to_owned());
        let image = self.find(wanted)?;
        let image = image.ok_or_else(|| Error::new(format!("No such image: {shown}")))?;
        let mut index = self.index()?;
        let by_name = image.name.as_deref() == Some(&shown);
        let mut goes = Vec::new();
        let mut others = 0;
        for entry in index.manifests() {
            if by_name && name_of(entry) == Some(&shown) {
                goes.push(entry.clone());
            } else if self.load(entry)?.id == image.id {
                others += 1;
                goes.extend((!by_name).then(|| entry.clone()));
            }
        }
        if goes.len() > 1 && !force {
            let id = &image.id["sha256:".len()..][..12];
            return Err(Error::new(format!(
                "conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories"
            )));
        }
        let mut removed = Removed::default();
        removed.untagged.extend(goes.iter().filter_map(name_of).map(str::to_owned));
        if !by_name || others == 0 {
            last(&image)?;
            removed.deleted.push(image.id.clone());
        }
        index.set_manifests(
            index.manifests().iter().filter(|entry| !goes.contains(entry)).cloned().collect(),
        );
        self.write_index(&ingest, &index)?;
        self.collect(&index, &ingest)?;
        drop(lock);
        ingest.finish()?;
        Ok(removed)
    }

    /// Clears away what killed processes left. Costs next to nothing when there is nothing.
    pub fn sweep(&self) -> Result<()> {
        let empty = fs::read_dir(self.ingest()).call(|| "opendir(ingest)")?.next().is_none();
        if empty {
            return Ok(());
        }
        let ingest = Ingest::begin(self)?;
        let lock = self.lock()?;
        let dead = ingest::dead(&self.ingest())?;
        if !dead.is_empty() {
            // Killed between a rename and the next: what it had put in place is nobody's.
            self.collect(&self.index()?, &ingest)?;
        }
        drop(lock);
        for (path, _lock) in &dead {
            ingest::remove(path)?;
        }
        ingest.finish()
    }

    /// Moves what `index` does not need out of its place, to be removed with
    /// `ingest`. The caller holds the lock.
    pub(crate) fn collect(&self, index: &ImageIndex, ingest: &Ingest) -> Result<()> {
        let (mut blobs, mut layers) = (HashSet::new(), HashSet::new());
        let builds = self.builds()?;
        for entry in index.manifests().iter().chain(builds.manifests()) {
            self.mark(entry, &mut blobs, &mut layers)?;
        }
        self.take_out("blob-", &self.blobs(), &blobs, ingest)?;
        self.take_out("layer-", &self.layers(), &layers, ingest)
    }

    fn mark(
        &self,
        entry: &Descriptor,
        blobs: &mut HashSet<OsString>,
        layers: &mut HashSet<OsString>,
    ) -> Result<()> {
        if !blobs.insert(ingest::hex(entry.digest()).to_owned()) {
            return Ok(());
        }
        if *entry.media_type() == MediaType::ImageIndex {
            let index: ImageIndex = self.json(entry)?;
            // Of several platforms mostly one is here.
            let here = |d: &&Descriptor| self.blob(d.digest()).is_ok_and(|path| path.exists());
            return index
                .manifests()
                .iter()
                .filter(here)
                .try_for_each(|d| self.mark(d, blobs, layers));
        }
        let manifest: ImageManifest = self.json(entry)?;
        blobs.insert(ingest::hex(manifest.config().digest()).to_owned());
        blobs.extend(manifest.layers().iter().map(|layer| ingest::hex(layer.digest()).to_owned()));
        let chain = chain_ids(self.load(entry)?.config.rootfs().diff_ids())?;
        layers.extend(chain.iter().map(|id| ingest::hex(id).to_owned()));
        Ok(())
    }

    fn take_out(
        &self,
        kind: &str,
        from: &Path,
        needed: &HashSet<OsString>,
        ingest: &Ingest,
    ) -> Result<()> {
        for entry in fs::read_dir(from).call(|| format!("opendir({from:?})"))? {
            let entry = entry.call(|| format!("readdir({from:?})"))?;
            if !needed.contains(&entry.file_name()) {
                // A layer may have the name of its archive, if that is not packed.
                let mut rubbish = OsString::from(kind);
                rubbish.push(entry.file_name());
                let to = ingest.path().join(rubbish);
                fs::rename(entry.path(), &to).call(|| format!("rename({:?})", entry.path()))?;
            }
        }
        Ok(())
    }
}
