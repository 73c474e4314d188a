//! Catalogue: not needed to understand the chapter.
//!
//! Images into an archive, for other programs and other machines: the inverse of `load`.
//!
//! It is an OCI layout as a tar archive, and at the same time docker's older kind: beside
//! `index.json` lies a `manifest.json`, and both mean the same blobs. Docker has written it
//! so since version 25. Blobs go as they lie in the store, and the same images always give
//! the same bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result, step};
use oci_spec::image::{ANNOTATION_REF_NAME, Descriptor, ImageIndex};
use serde_json::{Value, json};
use tar::{EntryType, Header};

use crate::digest::Hashed;
use crate::entries::BLOCK;
use crate::ingest::{self, Ingest};
use crate::layout::{OCI_LAYOUT, to_json};
use crate::load::FULL_NAME;
use crate::name::{self, Reference};
use crate::store::{Image, Store, name_of};
use crate::{moving, tags};

/// Images that are about to be saved: who holds them keeps them from being removed.
pub struct Selection {
    images: Vec<(Image, Vec<Reference>)>,
    /// By its digest each blob that belongs to them: a second name for it, and its size.
    blobs: BTreeMap<String, (PathBuf, u64)>,
    ingest: Ingest,
}

impl Store {
    /// Finds what is to be saved: images by names or ids, or all names of a repository.
    ///
    /// # Errors
    /// `No such image: NAME`, as docker says it.
    pub fn select(&self, wanted: &[String]) -> Result<Selection> {
        self.sweep()?;
        let ingest = Ingest::begin(self)?;
        let _lock = self.lock_shared()?;
        let mut images: Vec<(Image, Vec<Reference>)> = Vec::new();
        for wanted in wanted {
            for (image, name) in self.meant(wanted)? {
                let same =
                    |(other, _): &&mut (Image, _)| other.entry.digest() == image.entry.digest();
                match images.iter_mut().find(same) {
                    Some((_, names)) => names.extend(name.filter(|name| !names.contains(name))),
                    None => images.push((image, name.into_iter().collect())),
                }
            }
        }
        let mut blobs = BTreeMap::new();
        for blob in images.iter().flat_map(|(image, _)| image.blobs()) {
            let hex = blob.digest().digest();
            if !blobs.contains_key(hex) {
                let path = ingest.hold(&self.blob(blob.digest())?)?;
                blobs.insert(hex.to_owned(), (path, blob.size()));
            }
        }
        Ok(Selection { images, blobs, ingest })
    }

    /// The images that are meant, and the name of each by which it is; none by an id or digest.
    fn meant(&self, wanted: &str) -> Result<Vec<(Image, Option<Reference>)>> {
        if let Ok(reference) = name::parse(wanted)
            && reference.tag.is_none()
            && reference.digest.is_none()
        {
            let index = self.index()?;
            let mut found = Vec::new();
            for entry in index.manifests() {
                let name = name_of(entry).map(name::parse).transpose()?;
                let same = |name: &Reference| name.familiar() == reference.familiar();
                if let Some(name) = name.filter(same) {
                    found.push((self.load(entry)?, Some(name)));
                }
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let image = self.find(wanted)?.ok_or_else(|| tags::no_such_image(wanted))?;
        let own = name::for_tagging(wanted).ok();
        let name = image.name.as_deref().filter(|name| own.as_deref() == Some(name));
        let name = name.map(name::parse).transpose()?;
        Ok(vec![(image, name)])
    }
}

impl Selection {
    /// Writes the archive.
    ///
    /// # Errors
    /// What `to` says, a blob that is damaged. What was written until then is worth nothing.
    pub fn write(self, to: &mut impl Write) -> Result<()> {
        let count = self.blobs.len();
        step!(
            "save",
            "An archive of images is what the store is itself: blobs by their digests, and an \
             index. Nothing is packed anew, and so each digest is the same wherever it is loaded.",
            "ls -l images/blobs/sha256",
            "read(images/blobs/sha256/...), write(...) for each of {count} blobs",
            self.write_all(to),
        )?;
        self.ingest.finish()
    }

    fn write_all(&self, to: &mut impl Write) -> Result<()> {
        header(to, "blobs/", EntryType::Directory, 0)?;
        header(to, "blobs/sha256/", EntryType::Directory, 0)?;
        for (hex, (path, size)) in &self.blobs {
            blob(to, hex, path, *size)?;
        }
        file(to, "index.json", &to_json(&self.index())?)?;
        file(to, "manifest.json", &to_json(&self.manifests())?)?;
        file(to, "oci-layout", OCI_LAYOUT)?;
        // Two empty blocks are the end.
        bytes(to, &[0; 2 * BLOCK])
    }

    /// An image has a place for each of its names, and one if it has none.
    fn index(&self) -> ImageIndex {
        let mut entries = Vec::new();
        for (image, names) in &self.images {
            let mut entry = image.entry.clone();
            entry.set_media_type(image.manifest_type()).set_annotations(None);
            if names.is_empty() {
                entries.push(entry.clone());
            }
            for name in names {
                entry.set_annotations(Some(
                    [
                        (FULL_NAME.to_owned(), name.in_full()),
                        (ANNOTATION_REF_NAME.to_owned(), name.tag_or_latest().to_owned()),
                    ]
                    .into(),
                ));
                entries.push(entry.clone());
            }
        }
        let mut index = ImageIndex::default();
        index.set_manifests(entries);
        index
    }

    /// Docker's own list: which files are the configuration and the layers of which image.
    fn manifests(&self) -> Value {
        let path = |blob: &Descriptor| format!("blobs/sha256/{}", blob.digest().digest());
        let one = |(image, names): &(Image, Vec<Reference>)| {
            let layers: Vec<_> = image.manifest.layers().iter().map(path).collect();
            let tags: Vec<_> = names.iter().map(Reference::to_string).collect();
            json!({
                "Config": path(image.manifest.config()),
                "RepoTags": Some(tags).filter(|tags| !tags.is_empty()),
                "Layers": layers,
            })
        };
        self.images.iter().map(one).collect()
    }
}

fn blob(to: &mut impl Write, hex: &str, path: &Path, size: u64) -> Result<()> {
    let mut from = Hashed::new(File::open(path).call(|| format!("open({path:?})"))?);
    member(to, &format!("blobs/sha256/{hex}"), size, &mut from)?;
    let (_, digest, length) = from.finish();
    match (digest.digest(), length) == (hex, size) {
        true => Ok(()),
        false => Err(Error::new(format!("sha256:{hex} is damaged: its digest is another"))
            .hint("remove the image and get it again")),
    }
}

fn file(to: &mut impl Write, name: &str, content: &[u8]) -> Result<()> {
    member(to, name, content.len() as u64, &mut Cursor::new(content))
}

fn member(to: &mut impl Write, name: &str, size: u64, from: &mut impl Read) -> Result<()> {
    header(to, name, EntryType::Regular, size)?;
    ingest::copy(&mut from.take(size), to).map_err(|error| moving("writing the archive", error))?;
    let padding = size.next_multiple_of(BLOCK as u64) - size;
    bytes(to, &[0; BLOCK][..padding as usize])
}

fn header(to: &mut impl Write, name: &str, kind: EntryType, size: u64) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_path(name).map_err(|error| moving("a tar header", error))?;
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    bytes(to, header.as_bytes())
}

fn bytes(to: &mut impl Write, bytes: &[u8]) -> Result<()> {
    to.write_all(bytes).map_err(|error| moving("writing the archive", error))
}
