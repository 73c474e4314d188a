//! 06.3: a store of images, after a power cut. The layers are right.

use std::fs::{create_dir_all, read, write};
use std::path::{Path, PathBuf};

use ch06_images::{Recipe, Source, Store, digest};
use serde_json::Value;

/// Whether all that an entry of the index leads to is there, as it was.
fn whole(images: &Path, entry: &Value) -> anyhow::Result<bool> {
    let Some(manifest) = sound(images, entry) else { return Ok(false) };
    let manifest: Value = serde_json::from_slice(&manifest)?;
    let layers = manifest["layers"].as_array().into_iter().flatten();
    Ok(layers.into_iter().all(|layer| sound(images, layer).is_some()))
}

/// The bytes of a blob, if they are the ones that it was named by.
fn sound(images: &Path, descriptor: &Value) -> Option<Vec<u8>> {
    let bytes = read(blob(images, descriptor)).ok()?;
    (digest::of(&bytes).to_string() == descriptor["digest"]).then_some(bytes)
}

/// Where the blob lies that a descriptor speaks of.
fn blob(images: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    images.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
}

/// Not yours to change.
fn main() -> anyhow::Result<()> {
    let store = Store::open(Path::new("store"))?;
    for name in ["amber", "birch", "cedar", "dune"].map(Path::new) {
        create_dir_all(name)?;
        write(name.join("file"), name.to_string_lossy().repeat(1000))?;
        let source = Source::Directory(name);
        store.import(source, &name.to_string_lossy(), &Recipe::default())?;
    }
    checkpoint::reached("stored")?;

    let images = Path::new("store/images");
    let mut index: Value = serde_json::from_slice(&read(images.join("index.json"))?)?;
    let all = index["manifests"].take();
    let mut kept = Vec::new();
    for entry in all.as_array().into_iter().flatten() {
        if whole(images, entry)? {
            kept.push(entry.clone());
        }
    }
    index["manifests"] = Value::from(kept);
    write(images.join("index.json"), index.to_string())?;
    Ok(checkpoint::reached("sifted")?)
}
