//! Catalogue: not needed to understand the chapter.
//!
//! All that belongs to an image, from the registry to `downloads/`: several blobs at once,
//! while the lowest layers are unpacked already.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use ch01_clone::{Context, Error, Result};
use oci_spec::image::{Descriptor, Digest, ImageConfiguration};

use super::State;
use super::download::Downloads;
use super::pull::{Pull, Wanted};
use crate::store::Store;
use crate::unpack::Unpacking;

/// As many layers at once as docker fetches.
const AT_ONCE: usize = 3;

impl Store {
    /// Fetches the configuration, looks at it, and then fetches the layers and unpacks those
    /// that are here.
    pub(super) fn fetch_all<'a>(
        &self,
        downloads: &Downloads<'a>,
        wanted: &Wanted,
        pull: &Pull<'_>,
    ) -> Result<(Vec<Descriptor>, Unpacking<'a>)> {
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
        self.fetch_missing(&quiet, std::slice::from_ref(&config), &|_| {})?;
        let mut unpacking =
            self.unpacking(&self.look_at(downloads, wanted, pull)?, downloads.ingest)?;
        let all = wanted.manifest.layers();
        let mut seen = HashSet::new();
        let layers: Vec<_> = all.iter().filter(|layer| seen.insert(layer.digest())).collect();
        let layers: Vec<_> = layers.into_iter().cloned().collect();
        let (arrived, arrivals) = channel();
        let (fetched, unpacked) = thread::scope(|scope| {
            let unpacking = &mut unpacking;
            let unpacker = scope.spawn(|| unpack_arriving(downloads, all, arrivals, unpacking));
            let tell = |blob: &Descriptor| drop(arrived.send(blob.digest().clone()));
            let fetched = self.fetch_missing(downloads, &layers, &tell);
            drop(arrived);
            (fetched, unpacker.join())
        });
        // Where a download fails the unpacking gives up: what was first is told.
        fetched?;
        let unpacked = unpacked.unwrap_or_else(|_| Err(Error::new("the unpacking has panicked")));
        // A layer of another image that has gone meanwhile: whoever wants to run this one
        // has it unpacked again.
        if unpacking.held()? {
            unpacked?;
        }
        Ok(([layers, vec![config]].concat(), unpacking))
    }

    /// Whether the configuration is one, and for this machine, before layers are fetched.
    fn look_at(
        &self,
        downloads: &Downloads<'_>,
        wanted: &Wanted,
        pull: &Pull<'_>,
    ) -> Result<ImageConfiguration> {
        let path = downloads.kept(wanted.manifest.config());
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
            _ => Ok(config),
        }
    }

    /// Fetches what is not here, several at once, and tells of each that is. The first error
    /// ends them all.
    fn fetch_missing(
        &self,
        downloads: &Downloads<'_>,
        blobs: &[Descriptor],
        arrived: &(dyn Fn(&Descriptor) + Sync),
    ) -> Result<()> {
        let mut missing = Vec::new();
        for blob in blobs {
            let stored = self.blob(blob.digest())?;
            let here = stored.exists() && downloads.keep(blob, &stored)?;
            let state = if here { State::Exists } else { State::Waiting };
            (downloads.progress)(blob.digest().digest(), blob.size(), state);
            match here {
                true => arrived(blob),
                false => missing.push((blob, stored)),
            }
        }
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some((blob, stored)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                match fetch_and_keep(downloads, blob, stored) {
                    Ok(()) => arrived(blob),
                    Err(_) if downloads.stop.swap(true, Ordering::Relaxed) => return Ok(()),
                    first => return first,
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

/// Again if another pull has fetched it, and its image has been removed at once.
fn fetch_and_keep(downloads: &Downloads<'_>, blob: &Descriptor, stored: &Path) -> Result<()> {
    loop {
        downloads.fetch(blob, stored)?;
        if downloads.keep(blob, stored)? {
            return Ok(());
        }
    }
}

/// Unpacks one layer after the other, each as soon as it is here.
fn unpack_arriving(
    downloads: &Downloads<'_>,
    layers: &[Descriptor],
    arrivals: Receiver<Digest>,
    unpacking: &mut Unpacking<'_>,
) -> Result<()> {
    let mut here = HashSet::new();
    let mut unpack = |layer: &Descriptor| {
        unpacking.next(|| {
            while !here.contains(layer.digest()) {
                here.insert(arrivals.recv().map_err(|_| given_up())?);
            }
            let path = downloads.kept(layer);
            let file = File::open(&path).call(|| format!("open({path:?})"))?;
            Ok(Until { file, stop: &downloads.stop })
        })
    };
    let unpacked = layers.iter().try_for_each(&mut unpack);
    // What else would come is of no use.
    if unpacked.is_err() {
        downloads.stop.store(true, Ordering::Relaxed);
    }
    unpacked
}

fn given_up() -> Error {
    Error::new("given up, since another layer failed")
}

/// A file that is read until nobody needs it any more.
struct Until<'a> {
    file: File,
    stop: &'a AtomicBool,
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(std::io::Error::other(given_up())),
            false => self.file.read(buffer),
        }
    }
}
