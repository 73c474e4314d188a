//! Catalogue: not needed to understand the chapter.
//!
//! Images on disk, as the OCI says (image-spec, "image layout"), and their layers.
//!
//! ```text
//! ROOT/images/oci-layout             says that this is one
//!            /index.json             which names there are, and which manifest each means
//!            /blobs/sha256/HEX       manifests, configurations, packed layers
//! ROOT/layers/HEX/                   a layer unpacked, by its chain id; shared by images
//! ROOT/ingest/PID-N/                 what somebody is working on
//! ROOT/images.lock                   held while any of this changes its place
//! ```
//!
//! Whatever takes long happens under `ingest/`. In its place everything appears
//! whole, by a rename, while the lock is held: content first, then the name for it.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ch01_clone::{Context, Error, Result};
use oci_spec::image::{ANNOTATION_REF_NAME, Descriptor, ImageConfiguration};
use oci_spec::image::{ImageIndex, ImageManifest, MediaType};

use crate::ingest::Ingest;
use crate::layout::OCI_LAYOUT;
use crate::registry::Platform;
use crate::stack::chain_ids;
use crate::{name, time};

/// The annotation of an image that was pulled: `REPOSITORY@DIGEST`, of an index or of a manifest.
pub(crate) const SOURCE: &str = "org.dockster.source";

/// The images below one root.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) root: PathBuf,
}

/// An image, ready to be run.
#[derive(Debug, Clone)]
pub struct Image {
    /// As people know it; `None` when its name went to a newer image.
    pub name: Option<String>,
    /// The digest of its configuration: `sha256:...`.
    pub id: String,
    /// The digest by which registries know it: of its manifest, or of the index that
    /// it was chosen from.
    pub digest: String,
    /// What to run in it, and how.
    pub config: ImageConfiguration,
    /// The directories of its layers, the topmost first, as overlayfs wants them.
    pub layers: Vec<PathBuf>,
    pub(crate) manifest: ImageManifest,
    /// Its place in the index.
    pub(crate) entry: Descriptor,
}

/// An image, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// As people know it; `None` when its name went to a newer image.
    pub name: Option<String>,
    /// The digest of its configuration: `sha256:...`.
    pub id: String,
    /// The digest by which registries know it.
    pub digest: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// When it was made, if it says so.
    pub created: Option<SystemTime>,
    /// What its blobs take on the disk, in bytes.
    pub size: u64,
}

impl Store {
    /// The store below `root`, made if it is missing.
    pub fn open(root: &Path) -> Result<Self> {
        let store = Self { root: root.to_owned() };
        let mut dirs = fs::DirBuilder::new();
        // Only root of this store may pass: in here lie set-uid programs (CVE-2021-41091).
        dirs.recursive(true).mode(0o700);
        for dir in [store.blobs(), store.layers(), store.ingest()] {
            dirs.create(&dir).call(|| format!("mkdir({dir:?})"))?;
        }
        if !store.index_file().exists() {
            let ingest = Ingest::begin(&store)?;
            let _lock = store.lock()?;
            if !store.index_file().exists() {
                store.replace(&ingest, "oci-layout", OCI_LAYOUT)?;
                store.write_index(&ingest, &ImageIndex::default())?;
            }
        }
        Ok(store)
    }

    /// All images, by name.
    pub fn images(&self) -> Result<Vec<Listed>> {
        let _lock = self.lock_shared()?;
        let mut list = Vec::new();
        for descriptor in self.index()?.manifests() {
            let image = self.load(descriptor)?;
            let blobs = image.manifest.layers().iter().map(Descriptor::size).sum::<u64>();
            list.push(Listed {
                created: image.config.created().as_deref().and_then(time::from_text),
                size: blobs + image.manifest.config().size() + descriptor.size(),
                labels: labels(&image.config),
                name: image.name,
                id: image.id,
                digest: image.digest,
            });
        }
        list.sort_by(|a, b| {
            (a.name.is_none(), &a.name, &a.id).cmp(&(b.name.is_none(), &b.name, &b.id))
        });
        Ok(list)
    }

    /// Whether an image of this name or id is here, and for this platform.
    pub fn has(&self, wanted: &str, platform: Option<&Platform>) -> Result<bool> {
        let _lock = self.lock_shared()?;
        let image = self.find(wanted)?;
        Ok(image.is_some_and(|image| platform.is_none_or(|it| it.fits(&image.config))))
    }

    /// The image that `wanted` means, if there is one. The caller holds the lock.
    pub(crate) fn find(&self, wanted: &str) -> Result<Option<Image>> {
        let index = self.index()?;
        if let Ok(name) = name::for_tagging(wanted) {
            let named = index.manifests().iter().find(|d| name_of(d) == Some(&name));
            if let Some(descriptor) = named {
                return self.load(descriptor).map(Some);
            }
        }
        if let Ok(reference) = name::parse(wanted)
            && let Some(image) = self.pulled_as(&reference)?
        {
            return Ok(Some(image));
        }
        let digits = wanted.strip_prefix("sha256:").unwrap_or(wanted);
        if digits.is_empty() || !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(None);
        }
        let mut found: Option<Image> = None;
        for descriptor in index.manifests() {
            let image = self.load(descriptor)?;
            let fits = image.id["sha256:".len()..].starts_with(digits);
            match &found {
                Some(other) if fits && other.id != image.id => {
                    return Err(Error::new(format!(
                        "multiple IDs found with provided prefix: {wanted}"
                    )));
                }
                None if fits => found = Some(image),
                _ => {}
            }
        }
        Ok(found)
    }

    /// An image from its place in the index.
    pub(crate) fn load(&self, descriptor: &Descriptor) -> Result<Image> {
        if *descriptor.media_type() == MediaType::ImageIndex {
            return Err(Error::new("an image for several platforms, none of which was chosen"));
        }
        let manifest: ImageManifest = self.json(descriptor)?;
        let config: ImageConfiguration = self.json(manifest.config())?;
        let diff_ids = config.rootfs().diff_ids();
        if diff_ids.len() != manifest.layers().len() {
            return Err(Error::new(
                "an image whose configuration has other layers than its manifest",
            ));
        }
        let layers = chain_ids(diff_ids)?.iter().rev().map(|id| self.layer(id)).collect();
        Ok(Image {
            name: name_of(descriptor).map(str::to_owned),
            id: manifest.config().digest().to_string(),
            digest: match source_of(descriptor).and_then(|source| source.split_once('@')) {
                Some((_, digest)) => digest.to_owned(),
                None => descriptor.digest().to_string(),
            },
            config,
            layers,
            manifest,
            entry: descriptor.clone(),
        })
    }
}

fn labels(config: &ImageConfiguration) -> HashMap<String, String> {
    config.config().as_ref().and_then(|config| config.labels().clone()).unwrap_or_default()
}

/// The name that an entry of the index gives.
pub(crate) fn name_of(descriptor: &Descriptor) -> Option<&str> {
    let annotations = descriptor.annotations().as_ref()?;
    annotations.get(ANNOTATION_REF_NAME).map(String::as_str)
}

/// Where an entry of the index was pulled from.
pub(crate) fn source_of(descriptor: &Descriptor) -> Option<&str> {
    descriptor.annotations().as_ref()?.get(SOURCE).map(String::as_str)
}

/// The same entry by another name, or by none.
pub(crate) fn renamed(mut descriptor: Descriptor, name: Option<&str>) -> Descriptor {
    let mut annotations = descriptor.annotations().clone().unwrap_or_default();
    annotations.remove(ANNOTATION_REF_NAME);
    annotations.extend(name.map(|name| (ANNOTATION_REF_NAME.to_owned(), name.to_owned())));
    descriptor.set_annotations(Some(annotations).filter(|all| !all.is_empty()));
    descriptor
}
