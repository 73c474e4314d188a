//! 06.4: what an image and its layers are called. The ID is that of the manifest.

use std::fs::{create_dir_all, read, write};
use std::os::unix::fs::symlink;
use std::path::Path;

use ch06_images::digest;
use serde_json::{Value, from_slice, json};

/// Of the only image in a layout: its ID, its digest, and its layers' chain ids, the lowest first.
fn facts(layout: &Path) -> anyhow::Result<(String, String, Vec<String>)> {
    let entry = &from_slice::<Value>(&read(layout.join("index.json"))?)?["manifests"][0];
    let manifest = blob(layout, entry)?;
    let ids = &blob(layout, &manifest["config"])?["rootfs"]["diff_ids"];
    let mut chain: Vec<String> = Vec::new();
    for id in ids.as_array().into_iter().flatten().map(text) {
        let over = |below: &String| digest::of(format!("{below} {id}").as_bytes()).to_string();
        chain.push(chain.last().map_or(id.clone(), over));
    }
    Ok((text(&entry["digest"]), text(&entry["digest"]), chain))
}

/// The blob that a descriptor speaks of.
fn blob(layout: &Path, descriptor: &Value) -> anyhow::Result<Value> {
    let name = text(&descriptor["digest"]).replace(':', "/");
    Ok(from_slice(&read(layout.join("blobs").join(name))?)?)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Not yours to change: makes an image, and directories for what you say.
fn main() -> anyhow::Result<()> {
    create_dir_all("layout/blobs/sha256")?;
    let (mut layers, mut ids) = (Vec::new(), Vec::new());
    for layer in [&b"base"[..], b"libraries", b"program"] {
        layers.push(put(zstd::encode_all(layer, 0)?)?);
        ids.push(digest::of(layer).to_string());
    }
    let config = put(json!({"rootfs": {"diff_ids": ids}}).to_string())?;
    let image = put(json!({"config": config, "layers": layers}).to_string())?;
    write("layout/index.json", json!({"manifests": [image]}).to_string())?;
    let (id, digest, chain) = facts(Path::new("layout"))?;
    symlink(format!("{id} {digest}"), "names")?;
    for (number, id) in chain.iter().enumerate() {
        create_dir_all(format!("layers/{}/{number}", id.replace("sha256:", "")))?;
    }
    Ok(checkpoint::reached("named")?)
}

/// Puts a blob into the layout; its descriptor.
fn put(bytes: impl AsRef<[u8]>) -> anyhow::Result<Value> {
    let digest = digest::of(bytes.as_ref());
    write(Path::new("layout/blobs/sha256").join(digest.digest()), bytes)?;
    Ok(json!({"digest": digest.to_string()}))
}
