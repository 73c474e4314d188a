//! 06.3: a store of images, after a power cut. The layers are right.

use std::fs::{create_dir_all, read, write};
use std::path::{Path, PathBuf};

use ch06_images::digest;
use serde_json::{Value, json};

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
    let images = Path::new("store/images");
    create_dir_all(images.join("blobs/sha256"))?;
    let mut all = Vec::new();
    for name in ["amber", "birch", "cedar", "dune"] {
        let config = put(images, json!({"config": {"Cmd": [name]}, "os": "linux"}).to_string())?;
        let layer = put(images, name.repeat(1000))?;
        let manifest = json!({"config": config, "layers": [layer]}).to_string();
        let mut entry = put(images, manifest)?;
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        all.push(entry);
    }
    write(images.join("index.json"), json!({"manifests": all}).to_string())?;
    checkpoint::reached("stored")?;

    let mut kept = Vec::new();
    for entry in all {
        if whole(images, &entry)? {
            kept.push(entry);
        }
    }
    write(images.join("index.json"), json!({"manifests": kept}).to_string())?;
    Ok(checkpoint::reached("sifted")?)
}

fn put(images: &Path, bytes: String) -> anyhow::Result<Value> {
    let descriptor =
        json!({"digest": digest::of(bytes.as_bytes()).to_string(), "size": bytes.len()});
    write(blob(images, &descriptor), bytes)?;
    Ok(descriptor)
}
