//! Catalogue: not needed to understand the chapter.
//!
//! From what was changed to a layer: archived, packed, and known by its two digests.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use ch01_clone::{Context, Error, Result};
use flate2::{Compression, write::GzEncoder};
use oci_spec::image::{Descriptor, Digest, MediaType};
use serde::Serialize;
use serde_json::json;

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
    /// say of it, with its history; the layers it lists are set here. Where nothing was
    /// changed there is no layer, and the last line of the history says so. Named as
    /// [`import`](Store::import) does.
    ///
    /// # Errors
    /// What cannot be archived, no room. The store is then as it was.
    pub fn add_layer(
        &self,
        base: &Image,
        upper: &Path,
        config: &impl Serialize,
        name: Option<&str>,
    ) -> Result<Image> {
        let name = name.map(name::for_tagging).transpose()?;
        self.sweep()?;
        let ingest = Ingest::begin(self)?;
        let mut config = serde_json::to_value(config).map_err(|e| Error::new(e.to_string()))?;
        let mut layers = base.manifest.layers().clone();
        let mut diff_ids = base.config.rootfs().diff_ids().clone();
        let mut blobs = Vec::new();
        if is_empty(upper)? {
            if let Some(last) = config["history"].as_array_mut().and_then(|all| all.last_mut()) {
                last["empty_layer"] = true.into();
            }
        } else {
            let layer = Packed::new(&ingest, "layer", |to| archive::write_layer(upper, None, to))?;
            diff_ids.push(layer.diff_id.to_string());
            layers.push(layer.descriptor());
            blobs.push(layer.blob);
        }
        config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
        let config_blob = json_blob(&ingest, "config", &config)?;
        let (entry, manifest) = manifest(&ingest, "manifest", &base.config, &config_blob, layers)?;
        let new = New { entry, layers: Vec::new(), name };
        blobs.extend([config_blob, manifest]);
        Ok(self.keep(ingest, &blobs, &[new])?.remove(0))
    }
}

/// A container that was never started has no such directory yet.
fn is_empty(upper: &Path) -> Result<bool> {
    match fs::read_dir(upper) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        names => names.call(|| format!("opendir({upper:?})")).map(|mut all| all.next().is_none()),
    }
}
