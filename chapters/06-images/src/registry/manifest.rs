//! Catalogue: not needed to understand the chapter.
//!
//! What belongs to an image: an index of manifests, or one manifest (image-spec).

use ch01_clone::{Error, Result};
use oci_spec::image::{Digest, ImageIndex, ImageManifest};
use serde_json::Value;
use ureq::http::{Method, StatusCode, header};

use super::client::{Client, Request};
use super::patience::{Fault, insist};
use super::refusal::failed;
use crate::digest;

/// No manifest is larger, says the distribution-spec.
const LARGEST: u64 = 4 << 20;

/// Several manifests, a platform each.
pub(crate) const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// One image.
pub(crate) const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// What an image's configuration is called.
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
/// What layers are called; the end says how they are packed, and their bytes say it too.
const LAYERS: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// A manifest or an index as it came, which is what its digest is of.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
    pub(crate) content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    Index(Box<ImageIndex>),
    Manifest(Box<ImageManifest>),
}

/// The digest that the registry has for a tag, if it says so: cheaper than the manifest.
pub(crate) fn digest_of(client: &Client, repository: &str, tag: &str) -> Result<Option<Digest>> {
    let mut request = question(client, repository, tag);
    request.method = Method::HEAD;
    let missing = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
    let answer = client.ask(&request, &missing)?;
    let said = answer.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
    Ok(said.filter(|_| answer.status().is_success()).and_then(|said| digest::parse(said).ok()))
}

/// Fetches by a tag or a digest, and checks what can be checked. `shown` is the name for people.
pub(crate) fn fetch(
    client: &Client,
    repository: &str,
    wanted: &str,
    shown: &str,
) -> Result<Document> {
    let request = question(client, repository, wanted);
    insist(|| {
        let mut answer = client.once(&request, &[StatusCode::NOT_FOUND])?;
        if answer.status() == StatusCode::NOT_FOUND {
            let missing = format!("manifest for {shown} not found: manifest unknown");
            return Err(Error::new(missing).into());
        }
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let kind = header(header::CONTENT_TYPE).unwrap_or("");
        let kind = kind.split(';').next().unwrap_or("").trim().to_owned();
        let said = header("docker-content-digest".try_into().expect("a header's name"));
        let said = said.map(str::to_owned);
        let bytes = answer.body_mut().with_config().limit(LARGEST).read_to_vec();
        let bytes = bytes.map_err(|error| failed(&Method::GET, &request.url, error))?;
        let digest = digest::of(&bytes);
        // By digest there is only one right answer; by tag the registry at least agrees
        // with itself. What was damaged on the way may come whole the next time.
        let promised = if wanted.contains(':') { Some(wanted) } else { said.as_deref() };
        match promised.filter(|promised| promised.starts_with("sha256:")) {
            Some(promised) if promised != digest.as_ref() => Err(Fault::passing(Error::new(
                format!("the manifest of {shown} is damaged: {digest}, and should be {promised}"),
            ))),
            _ => Ok(read(digest, kind, bytes)?),
        }
    })
}

fn question(client: &Client, repository: &str, wanted: &str) -> Request<'static> {
    let mut request = Request::get(client.url(&format!("/v2/{repository}/manifests/{wanted}")));
    let accepted = [INDEXES, MANIFESTS].concat().join(", ");
    request.headers.push((header::ACCEPT, accepted));
    request
}

/// Reads it as what it says it is, and nothing else.
fn read(digest: Digest, said: String, bytes: Vec<u8>) -> Result<Document> {
    let wrong = |why: String| Error::new(format!("the manifest {digest}: {why}"));
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    let has = |name: &str| value.get(name).is_some();
    let own = value.get("mediaType").and_then(Value::as_str);
    let generic = matches!(&*said, "" | "application/json" | "text/plain");
    let kind = match own {
        _ if value.get("schemaVersion").and_then(Value::as_u64) != Some(2) => {
            return Err(wrong("schema version 1, which nothing should use any more".to_owned()));
        }
        Some(own) if !generic && own != said => {
            return Err(wrong(format!("sent as {said}, it calls itself {own}")));
        }
        Some(own) => own.to_owned(),
        None if !generic => said,
        None if has("manifests") => INDEXES[0].to_owned(),
        None => MANIFESTS[0].to_owned(),
    };
    // Read as the one it says another thing than read as the other (CVE-2021-41190).
    if has("manifests") && (has("layers") || has("config") || has("fsLayers")) {
        return Err(wrong("it is an index and an image at once".to_owned()));
    }
    let content = if INDEXES.contains(&&*kind) {
        serde_json::from_slice(&bytes).map(Box::new).map(Content::Index)
    } else if MANIFESTS.contains(&&*kind) {
        serde_json::from_slice(&bytes).map(Box::new).map(Content::Manifest)
    } else {
        return Err(wrong(format!("{kind:?} is no image")));
    };
    let content = content.map_err(|error| wrong(error.to_string()))?;
    if let Content::Manifest(manifest) = &content {
        is_image(manifest).map_err(wrong)?;
    }
    Ok(Document { digest, bytes, content })
}

/// Other things are kept in registries, too, as manifests.
fn is_image(manifest: &ImageManifest) -> Result<(), String> {
    let config = manifest.config().media_type().to_string();
    if !CONFIGS.contains(&&*config) {
        return Err(format!("{config:?} is no container's configuration"));
    }
    let strange = manifest.layers().iter().map(|layer| layer.media_type().to_string());
    match strange.into_iter().find(|kind| !LAYERS.contains(&&**kind)) {
        Some(kind) => Err(format!("a layer is {kind:?}, which cannot be unpacked")),
        None => Ok(()),
    }
}
