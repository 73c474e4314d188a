//! Catalogue: not needed to understand the chapter.
//!
//! From what was changed to a layer: archived, packed, and known by its two digests.

use std::io::Write;
use std::path::Path;

use ch01_clone::Result;
use flate2::{Compression, write::GzEncoder};
use oci_spec::image::{Descriptor, Digest, ImageConfiguration, MediaType};

use crate::digest::Hashed;
use crate::import::{New, descriptor, json_blob, manifest};
use crate::ingest::{Blob, Ingest};
use crate::store::{Image, Store};
use crate::{archive, moving, name};

/// A layer that is packed, not in its place yet.
pub(crate) struct Packed {
    pub(crate) blob: Blob,
    /// The digest of the archive before it was packed.
    pub(crate) diff_id: Digest,
}

impl Packed {
    /// Packs the archive that `write` gives. The same archive always gives the same bytes:
    /// what gzip could say of its time and its name is left out.
    pub(crate) fn new(
        ingest: &Ingest,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<Self> {
        let mut diff_id = None;
        let blob = ingest.blob(name, |to| {
            let mut plain = Hashed::new(GzEncoder::new(to, Compression::default()));
            write(&mut plain)?;
            let (packed, digest, _) = plain.finish();
            diff_id = Some(digest);
            packed.finish().map(drop).map_err(|error| moving("gzip", error))
        })?;
        Ok(Self { blob, diff_id: diff_id.expect("it was written") })
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        descriptor(MediaType::ImageLayerGzip, &self.blob)
    }
}

impl Store {
    /// Makes an image of `base` and one more layer: what lies in `upper`, where an overlay
    /// over the layers of `base` has kept its changes. `config` is all else that there is to
    /// say of it, with its history; the layers it lists are set here. Named as
    /// [`import`](Store::import) does.
    ///
    /// # Errors
    /// What cannot be archived, no room. The store is then as it was.
    pub fn add_layer(
        &self,
        base: &Image,
        upper: &Path,
        mut config: ImageConfiguration,
        name: Option<&str>,
    ) -> Result<Image> {
        let name = name.map(name::for_tagging).transpose()?;
        self.sweep()?;
        let ingest = Ingest::begin(self)?;
        let layer = Packed::new(&ingest, "layer", |to| archive::write_layer(upper, None, to))?;
        let mut rootfs = base.config.rootfs().clone();
        let mut diff_ids = rootfs.diff_ids().clone();
        diff_ids.push(layer.diff_id.to_string());
        rootfs.set_diff_ids(diff_ids);
        config.set_rootfs(rootfs);
        let config_blob = json_blob(&ingest, "config", &config)?;
        let layers = base.manifest.layers().iter().cloned().chain([layer.descriptor()]).collect();
        let (entry, manifest) = manifest(&ingest, "manifest", &config, &config_blob, layers)?;
        let new = New { entry, layers: Vec::new(), name };
        Ok(self.keep(ingest, &[layer.blob, config_blob, manifest], &[new])?.remove(0))
    }
}
