//! An image from a registry, into the store.
//!
//! What takes long lies under `downloads/` until all of it is there; then it comes into
//! its place with the name, in one hold of the lock. A pull that is killed leaves what it
//! has for the next one.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use ch01_clone::{Context, Error, Result, step};
use oci_spec::image::{Descriptor, DescriptorBuilder, ImageConfiguration, ImageManifest};
use oci_spec::image::{Digest, MediaType};

use super::client::Client;
use super::config::{Endpoint, Registries};
use super::credentials::Keychain;
use super::download::Downloads;
use super::manifest::{self, Content, Document};
use super::platform::Platform;
use super::{Progress, State};
use crate::import::platform;
use crate::ingest::{self, Ingest};
use crate::name::Reference;
use crate::store::{Image, SOURCE, Store, name_of, renamed, source_of};
use crate::{digest, moving};

/// As many layers at once as docker fetches.
const AT_ONCE: usize = 3;

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
struct Wanted {
    /// Its manifest.
    document: Document,
    manifest: Box<ImageManifest>,
    /// The digest that the name stands for.
    digest: Digest,
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
        let downloads = Downloads {
            client: &client,
            repository: &reference.path,
            dir: self.downloads()?,
            progress: pull.progress,
            stop: AtomicBool::new(false),
        };
        // Held as long as what lies there is wanted.
        let _kept = self.keep_downloads()?;
        let fetched = step!(
            "download",
            "Layers come several at a time, and the digest of each is computed while it is \
             written. What breaks off is taken up where it ended, by a Range.",
            "ls -l downloads images/blobs/sha256",
            "GET /v2/{path}/blobs/...",
            self.fetch_all(&downloads, &wanted, pull),
        );
        let placed = fetched.and_then(|blobs| self.place(&downloads, &wanted, &blobs, reference));
        if let Err(error) = &placed
            && error.errno == Some(nix::errno::Errno::ENOSPC)
        {
            // What there is of it takes the room that others need.
            drop(_kept);
            self.forget_downloads()?;
        }
        placed?;
        Ok(Pulled { digest: wanted.digest, up_to_date: false })
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

    /// Fetches the configuration, looks at it, and then fetches the layers.
    fn fetch_all(
        &self,
        downloads: &Downloads<'_>,
        wanted: &Wanted,
        pull: &Pull<'_>,
    ) -> Result<Vec<Descriptor>> {
        let config = wanted.manifest.config().clone();
        if config.size() > crate::layout::LARGEST {
            return Err(Error::new(format!("a configuration of {} bytes", config.size())));
        }
        let quiet = Downloads {
            progress: &|_, _, _| {},
            dir: downloads.dir.clone(),
            stop: AtomicBool::new(false),
            ..*downloads
        };
        self.fetch_missing(&quiet, std::slice::from_ref(&config))?;
        self.look_at(downloads, wanted, pull)?;
        let mut seen = HashSet::new();
        let layers = wanted.manifest.layers().iter();
        let layers: Vec<_> = layers.filter(|layer| seen.insert(layer.digest())).cloned().collect();
        self.fetch_missing(downloads, &layers)?;
        Ok([layers, vec![config]].concat())
    }

    /// Whether the configuration is one, and for this machine, before layers are fetched.
    fn look_at(&self, downloads: &Downloads<'_>, wanted: &Wanted, pull: &Pull<'_>) -> Result<()> {
        let blob = wanted.manifest.config();
        let path = Some(downloads.whole(blob)).filter(|path| path.exists());
        let path = path.map_or_else(|| self.blob(blob.digest()), Ok)?;
        let text = fs::read(&path).call(|| format!("read({path:?})"))?;
        let config: ImageConfiguration = serde_json::from_slice(&text)
            .map_err(|error| Error::new(format!("the image's configuration: {error}")))?;
        if config.rootfs().diff_ids().len() != wanted.manifest.layers().len() {
            return Err(Error::new("the image's configuration has other layers than its manifest"));
        }
        match &pull.platform {
            Some(platform) if !platform.fits(&config) => Err(Error::new(format!(
                "the image is for {}/{}, and not for {platform}",
                config.os(),
                config.architecture()
            ))),
            _ => Ok(()),
        }
    }

    /// Fetches what is not here, several at once. The first error ends them all.
    fn fetch_missing(&self, downloads: &Downloads<'_>, blobs: &[Descriptor]) -> Result<()> {
        let mut missing = Vec::new();
        for blob in blobs {
            let here = self.blob(blob.digest())?.exists();
            let state = if here { State::Exists } else { State::Waiting };
            (downloads.progress)(blob.digest().digest(), blob.size(), state);
            missing.extend((!here).then_some(blob));
        }
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(blob) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                let fetched =
                    self.blob(blob.digest()).and_then(|stored| downloads.fetch(blob, &stored));
                if let Err(error) = fetched {
                    let first = !downloads.stop.swap(true, Ordering::Relaxed);
                    return if first { Err(error) } else { Ok(()) };
                }
            }
            Ok(())
        };
        thread::scope(|scope| {
            let count = missing.len().min(AT_ONCE);
            let workers: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
            let done = workers.into_iter().map(|worker| {
                worker.join().unwrap_or_else(|_| Err(Error::new("a download has panicked")))
            });
            // All of them, before the first error is told.
            done.collect::<Vec<_>>().into_iter().collect()
        })
    }

    /// Puts all of it in its place, and the name last.
    fn place(
        &self,
        downloads: &Downloads<'_>,
        wanted: &Wanted,
        blobs: &[Descriptor],
        reference: &Reference,
    ) -> Result<()> {
        loop {
            let ingest = Ingest::begin(self)?;
            let bytes = &wanted.document.bytes;
            let write = |to: &mut dyn std::io::Write| {
                to.write_all(bytes).map_err(|error| moving("writing a manifest", error))
            };
            let manifest = ingest.blob("manifest", write)?;
            let lock = self.lock()?;
            let missing = self.link(downloads, blobs)?;
            if missing.is_empty() {
                ingest::place(&manifest.path, &self.blob(&manifest.digest)?)?;
                self.enter(&ingest, wanted, reference)?;
                // In their place they have another name now.
                for blob in blobs {
                    remove(&downloads.whole(blob))?;
                }
                drop(lock);
                return ingest.finish();
            }
            drop(lock);
            // It was here, and went with another image meanwhile.
            self.fetch_missing(downloads, &missing)?;
        }
    }

    /// Gives blobs their place. It is a second name: killed before the image has its own,
    /// the first is still there. What is missing is returned. The caller holds the lock.
    fn link(&self, downloads: &Downloads<'_>, blobs: &[Descriptor]) -> Result<Vec<Descriptor>> {
        let mut missing = Vec::new();
        for blob in blobs {
            let (from, to) = (downloads.whole(blob), self.blob(blob.digest())?);
            match fs::hard_link(&from, &to) {
                Ok(()) => {}
                Err(_) if to.exists() => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    missing.push(blob.clone());
                }
                Err(error) => return Err(error).call(|| format!("link({from:?}, {to:?})")),
            }
        }
        crate::layout::sync_dir(&self.blobs())?;
        Ok(missing)
    }

    /// Writes the image into the index. The caller holds the lock.
    fn enter(&self, ingest: &Ingest, wanted: &Wanted, reference: &Reference) -> Result<()> {
        let document = &wanted.document;
        let config: ImageConfiguration = self.json(wanted.manifest.config())?;
        let mut entry = DescriptorBuilder::default()
            // Docker's is the same in other words, and says so itself. But in a layout skopeo
            // and its like read only what the layout calls the OCI's.
            .media_type(MediaType::ImageManifest)
            .digest(document.digest.clone())
            .size(document.bytes.len() as u64)
            .annotations([(SOURCE.to_owned(), reference.at(wanted.digest.as_ref()))])
            .build()
            .map_err(|error| Error::new(error.to_string()))?;
        entry.set_platform(platform(&config));
        match reference.tagged() {
            Some(name) => self.tag(ingest, renamed(entry, Some(&name)), Some(&name)),
            // By digest: kept without a name, found by where it is from.
            None => {
                let mut index = self.index()?;
                let mut entries = index.manifests().clone();
                entries.retain(|old| *old != entry);
                entries.push(entry);
                index.set_manifests(entries);
                self.write_index(ingest, &index)
            }
        }
    }

    fn downloads(&self) -> Result<PathBuf> {
        let dir = self.root.join("downloads");
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.call(|| format!("mkdir({dir:?})"))?;
        Ok(dir)
    }

    /// While this is held nobody forgets downloads.
    fn keep_downloads(&self) -> Result<File> {
        let dir = self.downloads()?;
        let file = File::open(&dir).call(|| format!("open({dir:?})"))?;
        file.lock_shared().call(|| format!("flock({dir:?}, LOCK_SH)"))?;
        Ok(file)
    }

    /// Removes what pulls have left that did not come to their end, unless one runs;
    /// returns how many bytes that were.
    pub fn forget_downloads(&self) -> Result<u64> {
        let dir = self.root.join("downloads");
        let Ok(lock) = File::open(&dir) else { return Ok(0) };
        if lock.try_lock().is_err() {
            return Ok(0);
        }
        let mut bytes = 0;
        for entry in fs::read_dir(&dir).call(|| format!("opendir({dir:?})"))? {
            let entry = entry.call(|| format!("readdir({dir:?})"))?;
            bytes += entry.metadata().map_or(0, |about| about.len());
            remove(&entry.path())?;
        }
        Ok(bytes)
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

fn remove(path: &std::path::Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).call(|| format!("unlink({path:?})"))
        }
        _ => Ok(()),
    }
}
