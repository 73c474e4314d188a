//! Catalogue: not needed to understand the chapter.
//!
//! All that belongs to an image, from the registry to `downloads/`: several blobs at once.

use std::collections::HashSet;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use ch01_clone::{Context, Error, Result};
use oci_spec::image::{Descriptor, ImageConfiguration};

use super::State;
use super::download::Downloads;
use super::pull::{Pull, Wanted};
use crate::store::Store;

/// As many layers at once as docker fetches.
const AT_ONCE: usize = 3;

impl Store {
    /// Fetches the configuration, looks at it, and then fetches the layers.
    pub(super) fn fetch_all(
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
    pub(super) fn fetch_missing(
        &self,
        downloads: &Downloads<'_>,
        blobs: &[Descriptor],
    ) -> Result<()> {
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
}
