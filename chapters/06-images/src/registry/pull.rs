//! Catalogue: not needed to understand the chapter.
//!
//! An image from a registry, into the store.
//!
//! What is fetched lies under `downloads/` until all of it is there, and is unpacked under
//! `ingest/` meanwhile; then all comes into its place with the name, in one hold of the
//! lock. A pull that is killed leaves what it has fetched for the next one.

use std::sync::atomic::AtomicBool;

use ch01_clone::{Error, Result, step};
use nix::errno::Errno;
use oci_spec::image::{Digest, ImageManifest};

use super::Progress;
use super::client::Client;
use super::config::{Endpoint, Registries};
use super::credentials::Keychain;
use super::download::Downloads;
use super::manifest::{self, Content, Document};
use super::platform::Platform;
use crate::digest;
use crate::ingest::Ingest;
use crate::name::Reference;
use crate::store::{Image, Store, name_of, source_of};

/// How an image is pulled.
pub struct Pull<'a> {
    /// How registries are reached.
    pub registries: &'a Registries,
    /// As whom.
    pub keychain: &'a Keychain,
    /// For which machine; for this one if not said.
    pub platform: Option<Platform>,
    /// Who is told.
    pub progress: Progress<'a>,
}

/// What was pulled.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// What the registry has under this name: of an index, or of the manifest.
    pub digest: Digest,
    /// Whether it was there already.
    pub up_to_date: bool,
}

/// An image that is chosen and not here yet.
pub(super) struct Wanted {
    /// Its manifest.
    pub(super) document: Document,
    pub(super) manifest: Box<ImageManifest>,
    /// The digest that the name stands for.
    pub(super) digest: Digest,
}

impl Store {
    /// Pulls an image, and gives it its name when all of it is here. What is here
    /// already is not fetched again.
    ///
    /// # Errors
    /// The registry does not have it, or does not answer, or sends something else than
    /// it promised; no room. The store is then as it was.
    pub fn pull(&self, reference: &Reference, pull: &Pull<'_>) -> Result<Pulled> {
        self.sweep()?;
        let mut last = None;
        for endpoint in pull.registries.endpoints(&reference.domain) {
            match self.pull_from(&endpoint, reference, pull) {
                // A mirror that lacks it, or is away, is passed by.
                Err(error) => last = Some(error),
                pulled => return pulled,
            }
        }
        Err(last.unwrap_or_else(|| Error::new("there is no registry to ask")))
    }

    fn pull_from(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        pull: &Pull<'_>,
    ) -> Result<Pulled> {
        let path = &reference.path;
        let domain = endpoint.domain(&reference.domain);
        let credential = pull.keychain.get(domain)?;
        let scope = format!("repository:{path}:pull");
        let client = Client::connect(endpoint, pull.registries, Some(scope), credential)?;
        if let Some(digest) = self.is_current(&client, reference, pull)? {
            return Ok(Pulled { digest, up_to_date: true });
        }
        let wanted = step!(
            "pull",
            "A manifest is a list of digests: the image's configuration and its layers. An \
             index is a list of manifests, a platform each. The name's owner chooses which one a \
             tag means; from there on each digest leaves only one right answer.",
            "cat images/index.json",
            "GET /v2/{path}/manifests/...",
            wanted(&client, reference, pull),
        )?;
        let ingest = Ingest::begin(self)?;
        let downloads = Downloads {
            client: &client,
            repository: &reference.path,
            dir: self.downloads()?,
            ingest: &ingest,
            progress: pull.progress,
            stop: AtomicBool::new(false),
        };
        // Held as long as what lies there is wanted.
        let kept = self.keep_downloads()?;
        match self.bring(&downloads, &wanted, reference, pull) {
            Err(error) if error.errno == Some(Errno::ENOSPC) => {
                // What there is of it takes the room that others need.
                drop(kept);
                ingest.finish()?;
                self.forget_downloads()?;
                return Err(error);
            }
            brought => brought.and_then(|()| ingest.finish())?,
        }
        Ok(Pulled { digest: wanted.digest, up_to_date: false })
    }

    fn bring(
        &self,
        downloads: &Downloads<'_>,
        wanted: &Wanted,
        reference: &Reference,
        pull: &Pull<'_>,
    ) -> Result<()> {
        let path = downloads.repository;
        let (blobs, unpacking) = step!(
            "download",
            "Layers come several at a time, and the digest of each is computed while it is \
             written. What breaks off is taken up where it ended, by a Range. The lowest is \
             unpacked as soon as it is here.",
            "ls -l downloads ingest/*",
            "GET /v2/{path}/blobs/...",
            self.fetch_all(downloads, wanted, pull),
        )?;
        self.place(downloads, wanted, &blobs, &unpacking, reference)
    }

    /// Whether what is here is what the registry has.
    fn is_current(
        &self,
        client: &Client,
        reference: &Reference,
        pull: &Pull<'_>,
    ) -> Result<Option<Digest>> {
        let lock = self.lock_shared()?;
        let index = self.index()?;
        let name = reference.tagged();
        let here = index.manifests().iter().find(|entry| match &reference.digest {
            Some(digest) => source_of(entry) == Some(&reference.at(digest)),
            None => name.is_some() && name_of(entry) == name.as_deref(),
        });
        let Some(entry) = here else { return Ok(None) };
        let platform = pull.platform.clone().unwrap_or_else(Platform::here);
        let fits = platform.fits(&self.load(entry)?.config);
        let source = source_of(entry).map(str::to_owned);
        let Some(source) = source.filter(|_| fits) else { return Ok(None) };
        drop(lock);
        let current = match &reference.digest {
            Some(digest) => Some(digest::parse(digest)?),
            None => manifest::digest_of(client, &reference.path, reference.tag_or_latest())?,
        };
        Ok(current.filter(|digest| source == reference.at(digest.as_ref())))
    }

    /// Where an image was pulled from: `NAME@sha256:...`.
    pub(crate) fn pulled_as(&self, wanted: &Reference) -> Result<Option<Image>> {
        let Some(digest) = &wanted.digest else { return Ok(None) };
        let source = wanted.at(digest);
        let index = self.index()?;
        let found = index.manifests().iter().find(|entry| source_of(entry) == Some(&source));
        found.map(|entry| self.load(entry)).transpose()
    }
}

/// Finds the manifest, over an index if there is one.
fn wanted(client: &Client, reference: &Reference, pull: &Pull<'_>) -> Result<Wanted> {
    let shown = reference.to_string();
    let asked = reference.digest.as_deref().unwrap_or(reference.tag_or_latest());
    let first = manifest::fetch(client, &reference.path, asked, &shown)?;
    let digest = first.digest.clone();
    let document = match &first.content {
        Content::Manifest(_) => first,
        Content::Index(index) => {
            let platform = pull.platform.clone().unwrap_or_else(Platform::here);
            let entry = platform.choose(index.manifests())?;
            let wanted = digest::parse(entry.digest().as_ref())?;
            let document = manifest::fetch(client, &reference.path, wanted.as_ref(), &shown)?;
            if document.bytes.len() as u64 != entry.size() {
                return Err(Error::new("a manifest whose size is not what its index says"));
            }
            document
        }
    };
    let Content::Manifest(manifest) = &document.content else {
        return Err(Error::new("an index in an index"));
    };
    let manifest = manifest.clone();
    for blob in manifest.layers().iter().chain([manifest.config()]) {
        digest::parse(blob.digest().as_ref())?;
    }
    Ok(Wanted { document, manifest, digest })
}
