//! Where in a store everything lies, who may touch it when, and its JSON.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use oci_spec::image::{Descriptor, Digest, ImageIndex};
use serde_json::Value;

use crate::digest;
use crate::ingest::{self, Ingest};
use crate::store::{Image, Store};

/// No manifest and no configuration is larger.
pub(crate) const LARGEST: u64 = 8 << 20;

/// What says of a directory, or of an archive, that it is a layout.
pub(crate) const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

impl Store {
    /// The configuration of an image as it is written, with what the OCI does not know, too.
    pub fn config_text(&self, image: &Image) -> Result<Vec<u8>> {
        let path = self.blob(image.manifest.config().digest())?;
        std::fs::read(&path).call(|| format!("read({path:?})"))
    }

    // ANCHOR: json
    /// A small blob, checked and parsed.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, blob: &Descriptor) -> Result<T> {
        let path = self.blob(blob.digest())?;
        let bytes = read(&path)?;
        if digest::of(&bytes) != *blob.digest() {
            return Err(Error::new(format!("{path:?} is damaged: its digest is another"))
                .hint("remove the image and get it again"));
        }
        parse(&path, &bytes)
    }
    // ANCHOR_END: json

    pub(crate) fn index(&self) -> Result<ImageIndex> {
        let path = self.index_file();
        parse(&path, &read(&path)?)
    }

    /// The caller holds the lock.
    pub(crate) fn write_index(&self, ingest: &Ingest, index: &ImageIndex) -> Result<()> {
        self.replace(ingest, "index.json", &to_json(index)?)
    }

    // ANCHOR: replace
    pub(crate) fn replace(&self, ingest: &Ingest, name: &str, bytes: &[u8]) -> Result<()> {
        let blob = ingest.blob(name, |to| to.write_all(bytes).call(|| format!("write({name})")))?;
        ingest::place(&blob.path, &self.images_dir().join(name))
    }
    // ANCHOR_END: replace

    /// Nothing else changes what is in place while this is held.
    pub(crate) fn lock(&self) -> Result<File> {
        let file = self.lock_file()?;
        file.lock().call(|| "flock(images.lock, LOCK_EX)")?;
        Ok(file)
    }

    /// Nothing that is in place goes while this is held.
    pub(crate) fn lock_shared(&self) -> Result<File> {
        let file = self.lock_file()?;
        file.lock_shared().call(|| "flock(images.lock, LOCK_SH)")?;
        Ok(file)
    }

    fn lock_file(&self) -> Result<File> {
        let path = self.root.join("images.lock");
        let mut options = File::options();
        let options = options.create(true).truncate(false).write(true);
        options.open(&path).call(|| format!("open({path:?})"))
    }

    /// The OCI image layout: what skopeo reads as `oci:DIR:NAME`.
    pub fn images_dir(&self) -> PathBuf {
        self.root.join("images")
    }

    pub(crate) fn index_file(&self) -> PathBuf {
        self.images_dir().join("index.json")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.images_dir().join("blobs/sha256")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> Result<PathBuf> {
        Ok(self.blobs().join(ingest::hex(&digest::parse(digest.as_ref())?)))
    }

    pub(crate) fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub(crate) fn layer(&self, chain_id: &Digest) -> PathBuf {
        self.layers().join(ingest::hex(chain_id))
    }

    pub(crate) fn ingest(&self) -> PathBuf {
        self.root.join("ingest")
    }
}

/// The same value always gives the same bytes: `Value` keeps its keys in order.
pub(crate) fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let value: serde_json::Result<Value> = serde_json::to_value(value);
    value.and_then(|value| serde_json::to_vec(&value)).map_err(|e| Error::new(e.to_string()))
}

pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).call(|| format!("fsync({path:?})"))
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::new(format!("{path:?} is missing from the store")),
        _ => crate::moving(&format!("open({path:?})"), error),
    })?;
    file.take(LARGEST).read_to_end(&mut bytes).call(|| format!("read({path:?})"))?;
    Ok(bytes)
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::new(format!("{path:?}: {error}")))
}
