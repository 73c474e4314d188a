//! What a container finds mounted besides its root: volumes, parts of the host, memory.

use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use ch02_chroot::options::clean;
use ch02_chroot::{Mount, Source};
use ch06_images::{Image, Stack};

use super::containers::RunOptions;
use super::record::{Point, Record};
use super::{Engine, names};

/// What the user asked to have mounted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What it is.
    pub what: What,
    /// Where, and what it does not allow. The source of a volume is still to be filled in.
    pub mount: Mount,
    /// The same as it was written: `ro`.
    pub mode: String,
}

/// What is to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A volume.
    Volume {
        /// Its name; without one it is the container's own.
        name: Option<String>,
        /// Whether it begins with what the image has in its place.
        copy: bool,
    },
    /// A part of the host's tree.
    Bind {
        /// Whether a directory is made of what is missing.
        make: bool,
    },
    /// An empty file system in memory.
    Tmpfs,
}

/// A mount of a container that is about to be made.
pub(super) struct Use {
    pub(super) point: Point,
    pub(super) mount: Mount,
    copy: bool,
}

impl Engine {
    /// What a new container gets: what was asked for, and a nameless volume for each `VOLUME`
    /// of its image for which nothing was. What lies deeper comes later.
    pub(super) fn uses(&self, options: &RunOptions, image: &Image) -> Result<Vec<Use>> {
        let mut wanted = options.mounts.clone();
        let config = image.config.config().as_ref();
        let volumes = config.and_then(|config| config.volumes().clone()).unwrap_or_default();
        for volume in volumes {
            // The image's word is a stranger's: it is a place inside, and only that.
            let target = clean(&volume)?;
            if !wanted.iter().any(|wanted| wanted.mount.target == target) {
                let what = What::Volume { name: None, copy: true };
                wanted.push(Wanted { what, mount: Mount::bind("", target), mode: String::new() });
            }
        }
        for (number, one) in wanted.iter().enumerate() {
            if wanted[..number].iter().any(|other| other.mount.target == one.mount.target) {
                let target = one.mount.target.display();
                return Err(Error::new(format!("Duplicate mount point: {target}")));
            }
        }
        wanted.sort_by_key(|wanted| wanted.mount.target.components().count());
        wanted.into_iter().map(|wanted| self.used(wanted)).collect()
    }

    fn used(&self, wanted: Wanted) -> Result<Use> {
        let Wanted { what, mut mount, mode } = wanted;
        let mut point = Point {
            kind: "tmpfs".to_owned(),
            name: None,
            anonymous: false,
            source: PathBuf::new(),
            destination: mount.target.clone(),
            writable: !mount.attributes.read_only,
            mode,
        };
        let mut copy = false;
        match what {
            What::Tmpfs => {}
            What::Bind { make } => {
                if let Source::Bind(path) = &mount.source {
                    present(path, make)?;
                    (point.kind, point.source) = ("bind".to_owned(), path.clone());
                }
            }
            What::Volume { name, copy: fills } => {
                (point.kind, point.anonymous, copy) = ("volume".to_owned(), name.is_none(), fills);
                let name = name.map_or_else(names::new_id, Ok)?;
                super::volumes::check(&name)?;
                point.source = self.volume_data(&name);
                mount.source = Source::Bind(point.source.clone());
                point.name = Some(name);
            }
        }
        Ok(Use { point, mount, copy })
    }

    /// Makes and fills the volumes of a container whose record says that it uses them. The
    /// caller holds the volumes' lock.
    pub(super) fn provide_volumes(&self, uses: &[Use], image: &Image) -> Result<()> {
        let stack = Stack::open(&image.layers)?;
        for Use { point, copy, .. } in uses {
            if let Some(name) = &point.name {
                let target = point.destination.strip_prefix("/").unwrap_or(Path::new(""));
                let from = copy.then_some((&stack, target));
                self.provide_volume(name, point.anonymous, from)?;
            }
        }
        Ok(())
    }
}

impl Record {
    /// Whether it uses any volume.
    pub(super) fn has_volumes(&self) -> bool {
        self.plan.mounts.iter().any(|point| point.name.is_some())
    }
}

/// As docker, a directory that is to be bound and is missing is made.
fn present(path: &Path, make: bool) -> Result<()> {
    match path.exists() {
        true => Ok(()),
        false if make => std::fs::create_dir_all(path).call(|| format!("mkdir({path:?})")),
        false => Err(Error::new(format!(
            "invalid mount config for type \"bind\": bind source path does not exist: {}",
            path.display()
        ))),
    }
}
