//! Catalogue: not needed to understand the chapter.
//!
//! The layers of an image, from its blobs to directories: when somebody wants to run it.

use std::collections::VecDeque;
use std::path::PathBuf;

use ch01_clone::{Error, Result};

use crate::ingest::{self, Ingest};
use crate::space::Limits;
use crate::store::{Image, Store};
use crate::{digest, name};

impl Store {
    /// The image that somebody means by a name, or by the beginning of an id, with
    /// its layers unpacked.
    ///
    /// # Errors
    /// `Unable to find image 'NAME' locally`, as docker says it.
    pub fn resolve(&self, wanted: &str) -> Result<Image> {
        self.resolve_then(wanted, |image| Ok(image.clone()))
    }

    /// As [`resolve`](Store::resolve), and `then` runs before anybody can remove
    /// the image: it writes down who uses it.
    pub fn resolve_then<T>(
        &self,
        wanted: &str,
        then: impl FnOnce(&Image) -> Result<T>,
    ) -> Result<T> {
        loop {
            let lock = self.lock_shared()?;
            let image = self.find(wanted)?.ok_or_else(|| match name::parse(wanted) {
                Ok(name) => Error::new(format!("Unable to find image '{name}' locally")),
                Err(error) => error,
            })?;
            if image.layers.iter().all(|layer| layer.exists()) {
                return then(&image);
            }
            drop(lock);
            self.unpack(&image)?;
        }
    }

    /// Unpacks those layers of an image that are not there yet, the lowest first.
    pub fn unpack(&self, image: &Image) -> Result<()> {
        let ingest = Ingest::begin(self)?;
        let mut new = Vec::new();
        // The topmost first, as everywhere.
        let mut here: VecDeque<PathBuf> = VecDeque::new();
        for (number, place) in image.layers.iter().rev().enumerate() {
            if place.exists() {
                here.push_front(place.clone());
                continue;
            }
            let layer = self.unpack_one(&ingest, image, number, here.make_contiguous())?;
            here.push_front(layer.clone());
            new.push((layer, place));
        }
        ingest.sync()?;
        let lock = self.lock_shared()?;
        // Not for an image that was removed meanwhile.
        if self.find(&image.id)?.is_some() {
            new.iter().try_for_each(|(layer, place)| ingest::place(layer, place))?;
        }
        drop(lock);
        ingest.finish()
    }

    fn unpack_one(
        &self,
        ingest: &Ingest,
        image: &Image,
        number: usize,
        below: &[PathBuf],
    ) -> Result<PathBuf> {
        let blob = self.blob(image.manifest.layers()[number].digest())?;
        let layer = ingest.unpack(&blob, below, Limits::default())?;
        let wanted = digest::parse(&image.config.rootfs().diff_ids()[number])?;
        match layer.diff_id == wanted {
            true => Ok(layer.path),
            false => {
                Err(Error::new(format!("the layer is {}, and should be {wanted}", layer.diff_id))
                    .hint("remove the image and get it again"))
            }
        }
    }
}
