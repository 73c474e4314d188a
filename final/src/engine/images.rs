//! Images: import, remove, and the one that is built in.

use ch01_clone::{Context, Error, Result};
use ch05_lifecycle::Status;
use ch06_images::{Imported, Recipe, Source, collect::Removed};
use oci_spec::image::{Config, ConfigBuilder};

use super::Engine;
use crate::hello;

/// The label of an image that is made to be looked at: `run` draws its portrait.
pub const PORTRAIT: &str = "org.dockster.portrait";

/// The name of the image that is built in.
pub const HELLO: &str = "hello";

impl Engine {
    /// Makes the built-in image, if that is what is wanted and it is not there
    /// (or was made of another version of this program).
    pub fn provide_hello(&self, wanted: &str) -> Result<()> {
        if !matches!(wanted, "hello" | "hello:latest") {
            return Ok(());
        }
        let version = version()?;
        let there = self.store.resolve(HELLO).ok();
        let config = there.as_ref().and_then(|image| image.config.config().as_ref());
        let made_of = config.and_then(|config| config.labels().as_ref()?.get(PORTRAIT).cloned());
        // Somebody's own image of that name stays theirs.
        if there.is_some() && (made_of.is_none() || made_of.as_deref() == Some(&version)) {
            return Ok(());
        }
        let tree =
            tempfile::tempdir_in(&self.root).map_err(|e| Error::new(format!("mkdtemp: {e}")))?;
        hello::tree(tree.path())?;
        let config = hello_config(&version)?;
        let recipe = Recipe {
            config,
            message: Some("the dockster program itself".into()),
            ..Recipe::default()
        };
        self.store.import(Source::Directory(tree.path()), HELLO, &recipe)?;
        Ok(())
    }

    /// Makes an image of one layer.
    pub fn import(&self, source: Source<'_>, name: &str, recipe: &Recipe) -> Result<Imported> {
        self.store.import(source, name, recipe)
    }

    /// Takes a name from an image, and removes what no name and no container needs.
    pub fn remove_image(&self, wanted: &str, force: bool) -> Result<Removed> {
        self.store.remove(wanted, force, |image| {
            let records = self.list()?;
            let used: Vec<_> =
                records.iter().filter(|record| record.image_id == image.id).collect();
            let running = used.iter().find(|record| record.status != Status::Stopped);
            match (running, used.first()) {
                (Some(record), _) => Err(in_use(wanted, &record.id, "running", "cannot be forced")),
                (None, Some(record)) if !force => {
                    Err(in_use(wanted, &record.id, "stopped", "must be forced"))
                }
                _ => Ok(()),
            }
        })
    }
}

fn in_use(image: &str, id: &str, state: &str, force: &str) -> Error {
    Error::new(format!(
        "conflict: unable to delete {image} ({force}) - image is being used by {state} container {}",
        &id[..12]
    ))
}

/// Which build of this program it is: another one makes its image anew.
fn version() -> Result<String> {
    use std::os::unix::fs::MetadataExt;
    let program = std::fs::metadata("/proc/self/exe").call(|| "stat(/proc/self/exe)")?;
    Ok(format!("{} {}.{}", program.size(), program.mtime(), program.mtime_nsec()))
}

fn hello_config(version: &str) -> Result<Config> {
    ConfigBuilder::default()
        .entrypoint(vec!["/hello".to_owned()])
        .labels([(PORTRAIT.to_owned(), version.to_owned())])
        .build()
        .map_err(|error| Error::new(error.to_string()))
}
