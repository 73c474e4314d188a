//! Catalogue: not needed to understand the chapter.
//!
//! From an archive or a directory to an image of one layer.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ch01_clone::{Error, Result, step};
use oci_spec::image::{Descriptor, DescriptorBuilder, History, ImageConfiguration};
use oci_spec::image::{ImageManifestBuilder, MediaType, Platform, PlatformBuilder, RootFs};
use serde_json::{Map, Value};

use crate::apply::Summary;
use crate::compression::Compression;
use crate::ingest::{self, Blob, Ingest, Unpacked};
use crate::layout::to_json;
use crate::space::Limits;
use crate::store::{Image, Store, name_of, renamed};
use crate::{archive, name, time};

/// Where the files of a new image come from.
pub enum Source<'a> {
    /// An archive: plain, or packed by gzip or zstd.
    Archive(&'a mut dyn Read),
    /// A directory, as it is now.
    Directory(&'a Path),
}

/// What else there is to say of a new image.
#[derive(Debug, Clone, Default)]
pub struct Recipe {
    /// What to run in it, and how; docker's object, which is the OCI's and some more.
    pub config: Map<String, Value>,
    /// For its history; docker's `--message`.
    pub message: Option<String>,
    /// When it was made; now, if not said.
    pub created: Option<SystemTime>,
    /// How much is allowed.
    pub limits: Limits,
}

/// A new image, and what could not be kept of its files.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The image.
    pub image: Image,
    /// What was unpacked, flattened, left out.
    pub summary: Summary,
}

/// An image that is about to be in the store, as soon as its blobs are.
pub(crate) struct New {
    /// Its place in the index.
    pub(crate) entry: Descriptor,
    /// Layers that are unpacked already, from the lowest on.
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) name: Option<String>,
}

impl Store {
    /// Makes an image of one layer and names it, if it gets a name. An older image of that
    /// name loses it, and stays without one.
    ///
    /// # Errors
    /// A name that is none, what is wrong with the archive, no room. The store is
    /// then as it was.
    pub fn import(
        &self,
        source: Source<'_>,
        name: Option<&str>,
        recipe: &Recipe,
    ) -> Result<Imported> {
        let name = name.map(name::for_tagging).transpose()?;
        let shown = name.as_deref().unwrap_or("an image without a name");
        self.sweep()?;
        step!(
            "import",
            "The files become one layer, kept twice: as an archive, for other machines, \
             and unpacked, to be run. Its name is written last: it never means half an image.",
            "ls -la images/blobs/sha256 layers ingest",
            "rename(ingest/..., layers/...), rename(ingest/..., images/index.json) for {shown}",
            self.import_now(source, name.clone(), recipe),
        )
    }

    fn import_now(
        &self,
        source: Source<'_>,
        name: Option<String>,
        recipe: &Recipe,
    ) -> Result<Imported> {
        let ingest = Ingest::begin(self)?;
        let (kind, archive) = self.archive(&ingest, source)?;
        let layer = ingest.unpack(&archive.path, &[], recipe.limits)?;
        let config = configuration(recipe, &layer);
        let mut document = serde_json::to_value(&config).map_err(|e| Error::new(e.to_string()))?;
        document["config"] = recipe.config.clone().into();
        let config_blob = json_blob(&ingest, "config", &document)?;
        let layers = vec![descriptor(kind.media_type(), &archive)];
        let (entry, manifest) = manifest(&ingest, "manifest", &config, &config_blob, layers)?;
        let blobs = vec![archive, config_blob, manifest];
        let new = New { entry, layers: vec![layer.path], name };
        let image = self.keep(ingest, &blobs, &[new])?.remove(0);
        Ok(Imported { image, summary: layer.summary })
    }

    /// Puts new images with all that they need in their places: blobs, unpacked layers,
    /// the names last.
    pub(crate) fn keep(&self, ingest: Ingest, blobs: &[Blob], new: &[New]) -> Result<Vec<Image>> {
        // ANCHOR: keep
        ingest.sync()?;
        let lock = self.lock()?;
        for blob in blobs {
            ingest::place(&blob.path, &self.blob(&blob.digest)?)?;
        }
        let mut kept = Vec::new();
        for new in new {
            let entry = renamed(new.entry.clone(), new.name.as_deref());
            let image = self.load(&entry)?;
            self.all_there(&image)?;
            // As many of the lowest as are unpacked already.
            for (layer, place) in new.layers.iter().zip(image.layers.iter().rev()) {
                ingest::place(layer, place)?;
            }
            self.tag(&ingest, entry, new.name.as_deref())?;
            kept.push(image);
        }
        // ANCHOR_END: keep
        drop(lock);
        ingest.finish()?;
        Ok(kept)
    }

    /// Writes the layer's blob.
    fn archive(&self, ingest: &Ingest, source: Source<'_>) -> Result<(Compression, Blob)> {
        let mut kind = Compression::None;
        let blob = ingest.blob("archive", |to| match source {
            Source::Archive(archive) => {
                kind = ingest::copy_archive(archive, to)?;
                Ok(())
            }
            Source::Directory(dir) => archive::write(dir, &self.images_dir().join(".."), to),
        })?;
        Ok((kind, blob))
    }

    /// Gives `name` to an entry of the index. Who had it before goes without, unless
    /// it is the same image. Without a name it is only there. The caller holds the lock.
    pub(crate) fn tag(&self, ingest: &Ingest, entry: Descriptor, name: Option<&str>) -> Result<()> {
        let mut index = self.index()?;
        if name.is_none() && index.manifests().iter().any(|d| d.digest() == entry.digest()) {
            return Ok(());
        }
        let mut entries = Vec::new();
        for old in index.manifests() {
            let named = name_of(old);
            let same = old.digest() == entry.digest();
            let elsewhere = |d: &Descriptor| d.digest() == old.digest() && name_of(d) != name;
            match named {
                Some(other) if Some(other) != name => entries.push(old.clone()),
                _ if same || named.is_some() && index.manifests().iter().any(elsewhere) => {}
                _ => entries.push(renamed(old.clone(), None)),
            }
        }
        entries.push(entry);
        index.set_manifests(entries);
        self.write_index(ingest, &index)
    }
}

fn configuration(recipe: &Recipe, layer: &Unpacked) -> ImageConfiguration {
    let created = Some(time::to_text(recipe.created.unwrap_or_else(SystemTime::now)));
    let mut history = History::default();
    history.set_created(created.clone()).set_comment(recipe.message.clone());
    let mut rootfs = RootFs::default();
    rootfs.set_diff_ids(vec![layer.diff_id.to_string()]);
    // Architecture and system are this machine's, unless said otherwise.
    let mut config = ImageConfiguration::default();
    config.set_created(created).set_rootfs(rootfs).set_history(Some(vec![history]));
    config
}

/// A manifest, written, and its place in the index.
pub(crate) fn manifest(
    ingest: &Ingest,
    name: &str,
    config: &ImageConfiguration,
    config_blob: &Blob,
    layers: Vec<Descriptor>,
) -> Result<(Descriptor, Blob)> {
    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .config(descriptor(MediaType::ImageConfig, config_blob))
        .layers(layers)
        .build()
        .expect("all that a manifest must have");
    let blob = json_blob(ingest, name, &manifest)?;
    let mut entry = descriptor(MediaType::ImageManifest, &blob);
    entry.set_platform(platform(config));
    Ok((entry, blob))
}

pub(crate) fn platform(config: &ImageConfiguration) -> Option<Platform> {
    PlatformBuilder::default()
        .architecture(config.architecture().clone())
        .os(config.os().clone())
        .build()
        .ok()
}

pub(crate) fn descriptor(kind: MediaType, blob: &Blob) -> Descriptor {
    DescriptorBuilder::default()
        .media_type(kind)
        .digest(blob.digest.clone())
        .size(blob.size)
        .build()
        .expect("all that a descriptor must have")
}

pub(crate) fn json_blob(
    ingest: &Ingest,
    name: &str,
    value: &impl serde::Serialize,
) -> Result<Blob> {
    let bytes = to_json(value)?;
    ingest.blob(name, |to| to.write_all(&bytes).map_err(|e| crate::moving("writing a blob", e)))
}
