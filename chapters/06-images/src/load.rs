//! Catalogue: not needed to understand the chapter.
//!
//! Images from an archive that another program has saved.
//!
//! There are two kinds: the OCI layout as a tar archive (`index.json`, `blobs/…`), and
//! docker's older one (`manifest.json`, which lists a configuration and layers by their
//! file names). Either way the files are kept as they come, under their digests.

use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use oci_spec::image::{Descriptor, Digest, ImageConfiguration, ImageIndex};
use oci_spec::image::{ImageManifest, MediaType};
use serde::Deserialize;
use tar::EntryType;

use crate::entries::Entries;
use crate::import::{New, descriptor, manifest, platform};
use crate::ingest::{Blob, Ingest};
use crate::layout::{parse, read};
use crate::store::{Image, Store, name_of};
use crate::{compression, moving, name};

/// Docker's index calls a name in full what the OCI's calls only a tag.
pub(crate) const FULL_NAME: &str = "io.containerd.image.name";

/// No archive of images has more files.
const MOST: usize = 100_000;

/// One image of docker's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// The files of an archive, by name.
struct Files {
    blobs: HashMap<PathBuf, Blob>,
    links: HashMap<PathBuf, PathBuf>,
}

impl Store {
    /// Takes all images out of an archive, packed or not; in the order in which it has them.
    ///
    /// # Errors
    /// What is wrong with the archive, no room. The store is then as it was.
    pub fn load_archive(&self, archive: impl Read) -> Result<Vec<Image>> {
        self.sweep()?;
        let ingest = Ingest::begin(self)?;
        let (kind, peeked) = compression::detect(archive)?;
        let files = Files::take(&ingest, kind.reader(peeked)?)?;
        if files.get("index.json").is_some() {
            return self.load_layout(ingest, files);
        }
        match files.get("manifest.json") {
            Some(_) => self.load_docker(ingest, files),
            None => Err(Error::new("the archive has neither index.json nor manifest.json")
                .hint("a file system alone becomes an image by `dockster import`")),
        }
    }

    fn load_layout(&self, ingest: Ingest, files: Files) -> Result<Vec<Image>> {
        let index: ImageIndex = files.json("index.json")?;
        let (mut new, mut needed) = (Vec::new(), HashSet::new());
        for entry in index.manifests() {
            let chosen = files.chosen(entry)?;
            let manifest: ImageManifest = files.json_blob(&chosen)?;
            let config: ImageConfiguration = files.json_blob(manifest.config())?;
            for part in manifest.layers().iter().chain([manifest.config(), &chosen]) {
                needed.insert(files.blob(part)?.digest.clone());
            }
            let mut place = chosen.clone();
            place.set_platform(platform(&config)).set_annotations(None);
            new.push(New { entry: place, layers: Vec::new(), name: name_in(entry)? });
        }
        self.keep(ingest, &files.only(&needed), &new)
    }

    fn load_docker(&self, ingest: Ingest, files: Files) -> Result<Vec<Image>> {
        let list: Vec<Saved> = files.json("manifest.json")?;
        let (mut new, mut manifests, mut needed) = (Vec::new(), Vec::new(), HashSet::new());
        for (number, saved) in list.iter().enumerate() {
            let config: ImageConfiguration = files.json(&saved.config)?;
            let layers = saved.layers.iter().map(|layer| files.layer(layer));
            let layers = layers.collect::<Result<Vec<_>>>()?;
            let config_blob = files.named(&saved.config)?;
            needed.insert(config_blob.digest.clone());
            needed.extend(layers.iter().map(|layer| layer.digest().clone()));
            let name = format!("manifest-{number}");
            let (entry, blob) = manifest(&ingest, &name, &config, config_blob, layers)?;
            manifests.push(blob);
            let mut names: Vec<Option<String>> = Vec::new();
            for tag in saved.repo_tags.iter().flatten() {
                names.push(Some(name::for_tagging(tag)?));
            }
            if names.is_empty() {
                names.push(None);
            }
            let named = |name| New { entry: entry.clone(), layers: Vec::new(), name };
            new.extend(names.into_iter().map(named));
        }
        let blobs: Vec<Blob> = files.only(&needed).into_iter().chain(manifests).collect();
        self.keep(ingest, &blobs, &new)
    }
}

/// What an index calls an image: in full, or by a tag, which is then a name of its own.
fn name_in(entry: &Descriptor) -> Result<Option<String>> {
    let full = entry.annotations().as_ref().and_then(|all| all.get(FULL_NAME));
    full.map(String::as_str).or(name_of(entry)).map(name::for_tagging).transpose()
}

impl Files {
    /// Writes the files of an archive, each as a blob.
    fn take(ingest: &Ingest, archive: impl Read) -> Result<Self> {
        let mut entries = Entries::new(BufReader::with_capacity(128 << 10, archive));
        let mut files = Self { blobs: HashMap::new(), links: HashMap::new() };
        while let Some(entry) = entries.next()? {
            let path = entry.path()?;
            if files.blobs.len() + files.links.len() > MOST {
                return Err(Error::new("an archive of images with too many files"));
            }
            match entry.kind() {
                EntryType::Regular => {
                    let name = format!("file-{}", files.blobs.len());
                    let blob = ingest.blob(&name, |to| copy(&mut entries, to))?;
                    files.blobs.insert(path, blob);
                }
                // Docker's older archives have each layer once, and links to it.
                EntryType::Symlink => {
                    let base = path.parent().unwrap_or(Path::new("")).to_owned();
                    files.links.insert(path, beside(base, Path::new(entry.link_text())));
                }
                EntryType::Link => drop(files.links.insert(path, entry.link_path()?)),
                _ => {}
            }
        }
        Ok(files)
    }

    fn get(&self, name: &str) -> Option<&Blob> {
        let mut path = Path::new(name);
        for _ in 0..8 {
            match self.links.get(path) {
                Some(target) => path = target,
                None => return self.blobs.get(path),
            }
        }
        None
    }

    fn named(&self, name: &str) -> Result<&Blob> {
        self.get(name).ok_or_else(|| Error::new(format!("the archive has no file {name:?}")))
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        let blob = self.named(name)?;
        parse(Path::new(name), &read(&blob.path)?)
    }

    /// What a descriptor means, which has to be what it says.
    fn blob(&self, descriptor: &Descriptor) -> Result<&Blob> {
        let digest = crate::digest::parse(descriptor.digest().as_ref())?;
        let blob = self.named(&format!("blobs/sha256/{}", digest.digest()))?;
        match blob.digest == digest && blob.size == descriptor.size() {
            true => Ok(blob),
            false => Err(Error::new(format!(
                "{digest} in the archive is {} of {} bytes",
                blob.digest, blob.size
            ))),
        }
    }

    fn json_blob<T: serde::de::DeserializeOwned>(&self, descriptor: &Descriptor) -> Result<T> {
        let blob = self.blob(descriptor)?;
        parse(Path::new(blob.digest.digest()), &read(&blob.path)?)
    }

    /// Of an index of several platforms the one that is this machine's, or that is there.
    fn chosen(&self, entry: &Descriptor) -> Result<Descriptor> {
        if *entry.media_type() != MediaType::ImageIndex {
            return Ok(entry.clone());
        }
        let index: ImageIndex = self.json_blob(entry)?;
        let here = ImageConfiguration::default();
        let ours = |d: &&&Descriptor| {
            let platform = d.platform().as_ref();
            platform.is_some_and(|p| p.architecture() == here.architecture() && p.os() == here.os())
        };
        let there: Vec<_> = index.manifests().iter().filter(|d| self.blob(d).is_ok()).collect();
        let chosen = there.iter().find(ours).or(there.first());
        let chosen = chosen.ok_or_else(|| Error::new("the archive has none of its platforms"))?;
        Ok((*chosen).clone())
    }

    /// A layer of docker's archive: what it is, its first bytes say.
    fn layer(&self, name: &str) -> Result<Descriptor> {
        let blob = self.named(name)?;
        let file = std::fs::File::open(&blob.path).call(|| format!("open({:?})", blob.path))?;
        let (kind, _) = compression::detect(file)?;
        Ok(descriptor(kind.media_type(), blob))
    }

    fn only(self, needed: &HashSet<Digest>) -> Vec<Blob> {
        self.blobs.into_values().filter(|blob| needed.contains(&blob.digest)).collect()
    }
}

fn beside(mut base: PathBuf, target: &Path) -> PathBuf {
    for part in target.components() {
        match part {
            std::path::Component::ParentDir => drop(base.pop()),
            std::path::Component::Normal(name) => base.push(name),
            _ => {}
        }
    }
    base
}

fn copy(from: &mut Entries<impl Read>, to: &mut dyn Write) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            got => to.write_all(&buffer[..got]).map_err(|error| moving("writing a blob", error))?,
        }
    }
}
