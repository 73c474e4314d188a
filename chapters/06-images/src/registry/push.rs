//! Catalogue: not needed to understand the chapter.
//!
//! An image from the store, to a registry: what it lacks, and the manifest last.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ch01_clone::{Context, Error, Result, step};
use oci_spec::image::{Descriptor, Digest};
use ureq::http::{Method, header};

use super::client::{Client, Payload, Request};
use super::config::Registries;
use super::credentials::Keychain;
use super::upload::{Target, check};
use super::{Progress, State};
use crate::ingest::Ingest;
use crate::name::{self, Reference};
use crate::store::{Store, name_of, source_of};

/// As many layers at once as docker sends.
const AT_ONCE: usize = 5;

/// How an image is pushed.
pub struct Push<'a> {
    /// How registries are reached.
    pub registries: &'a Registries,
    /// As whom.
    pub keychain: &'a Keychain,
    /// Who is told.
    pub progress: Progress<'a>,
}

/// What was pushed.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest's size.
    pub size: u64,
}

/// What is sent: an image, and a second name for all that belongs to it, so that nobody
/// can take it away meanwhile.
struct Parcel {
    entry: Descriptor,
    blobs: Vec<(Descriptor, PathBuf)>,
    manifest: PathBuf,
    /// What the manifest calls itself.
    kind: String,
    /// By digest each blob that was pulled from this registry: the repository it is in there.
    sources: HashMap<Digest, String>,
    ingest: Ingest,
}

impl Store {
    /// Pushes the image that has this name, byte for byte: its digest stays.
    ///
    /// # Errors
    /// There is none of that name; the registry refuses, or does not answer.
    pub fn push(&self, reference: &Reference, push: &Push<'_>) -> Result<Pushed> {
        self.sweep()?;
        let parcel = self.parcel(reference)?;
        let path = &reference.path;
        let endpoint = push.registries.own(&reference.domain);
        let credential = push.keychain.get(&reference.domain)?;
        let scope = format!("repository:{path}:pull,push");
        let connect =
            |scope| Client::connect(&endpoint, push.registries, Some(scope), credential.clone());
        let client = connect(scope.clone())?;
        // With a token of its own: who may not read there may still write here.
        let mounting = || {
            let mut from: Vec<_> = parcel.sources.values().collect();
            from.sort();
            from.dedup();
            let from = from.iter().map(|path| format!(" repository:{path}:pull"));
            connect(from.fold(scope.clone(), |all, one| all + &one)).ok()
        };
        let target = Target::new(&client, path, &parcel.sources, &mounting);
        step!(
            "upload",
            "A registry is asked for each blob by its digest, and gets what it lacks. The \
             manifest comes last: whoever sees it can have all that it lists.",
            "ls -l images/blobs/sha256",
            "HEAD, POST, PUT /v2/{path}/blobs/...",
            send_all(&target, &parcel, push.progress),
        )?;
        send_manifest(&client, reference, &parcel)?;
        parcel.ingest.finish()?;
        Ok(Pushed { digest: parcel.entry.digest().clone(), size: parcel.entry.size() })
    }

    fn parcel(&self, reference: &Reference) -> Result<Parcel> {
        let ingest = Ingest::begin(self)?;
        let _lock = self.lock_shared()?;
        let (repository, tag) = (reference.familiar(), reference.tag_or_latest());
        let name = format!("{repository}:{tag}");
        let index = self.index()?;
        let entry = index.manifests().iter().find(|entry| name_of(entry) == Some(&name));
        let entry = entry.cloned().ok_or_else(|| {
            Error::new(format!("An image does not exist locally with the tag: {repository}"))
        })?;
        let image = self.load(&entry)?;
        let mut blobs: Vec<(Descriptor, PathBuf)> = Vec::new();
        for blob in image.manifest.layers().iter().chain([image.manifest.config()]) {
            if !blobs.iter().any(|(other, _)| other.digest() == blob.digest()) {
                blobs.push((blob.clone(), ingest.hold(&self.blob(blob.digest())?)?));
            }
        }
        let manifest = ingest.hold(&self.blob(entry.digest())?)?;
        let kind = image.manifest_type().to_string();
        let sources = self.sources(index.manifests(), reference)?;
        Ok(Parcel { entry, blobs, manifest, kind, sources, ingest })
    }

    /// What was pulled from other repositories of the same registry.
    fn sources(&self, entries: &[Descriptor], to: &Reference) -> Result<HashMap<Digest, String>> {
        let mut sources = HashMap::new();
        for entry in entries {
            let Some(from) = source_of(entry).map(name::parse).transpose()? else { continue };
            if from.domain != to.domain || from.path == to.path {
                continue;
            }
            let image = self.load(entry)?;
            for blob in image.manifest.layers().iter().chain([image.manifest.config()]) {
                sources.insert(blob.digest().clone(), from.path.clone());
            }
        }
        Ok(sources)
    }
}

/// Sends what the registry lacks, several blobs at once.
fn send_all(target: &Target<'_>, parcel: &Parcel, progress: Progress<'_>) -> Result<()> {
    // The configuration is last in the list: people hear of layers.
    let layers = parcel.blobs.len() - 1;
    let quiet: Progress<'_> = &|_, _, _| {};
    for (blob, _) in &parcel.blobs[..layers] {
        progress(blob.digest().digest(), blob.size(), State::Waiting);
    }
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((blob, path)) = parcel.blobs.get(number) else { return Ok(()) };
            let progress = if number < layers { progress } else { quiet };
            let sent = target.send(blob, path, progress);
            if sent.is_err() {
                next.store(parcel.blobs.len(), Ordering::Relaxed);
                return sent;
            }
        }
    };
    thread::scope(|scope| {
        let count = parcel.blobs.len().min(AT_ONCE);
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        let done = workers.into_iter().map(|worker| {
            worker.join().unwrap_or_else(|_| Err(Error::new("an upload has panicked")))
        });
        done.collect::<Vec<_>>().into_iter().collect()
    })
}

fn send_manifest(client: &Client, reference: &Reference, parcel: &Parcel) -> Result<()> {
    let digest = parcel.entry.digest();
    let path = &parcel.manifest;
    let tag = reference.tag_or_latest();
    let mut put =
        Request::new(Method::PUT, client.url(&format!("/v2/{}/manifests/{tag}", reference.path)));
    put.headers.push((header::CONTENT_TYPE, parcel.kind.clone()));
    let read = || -> Result<Box<dyn Read>> {
        Ok(Box::new(File::open(path).call(|| format!("open({path:?})"))?))
    };
    put.payload = Payload::Bytes(parcel.entry.size(), &read);
    let answer = client.ask(&put, &[])?;
    check(&answer, digest)
}
