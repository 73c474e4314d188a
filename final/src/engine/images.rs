//! Images: import, remove, and the one that is built in.

use std::fs::{self, File};

use ch01_clone::{Context, Error, Result};
use ch06_images::{Imported, Recipe, Source, collect::Removed};
use serde_json::json;

use super::Engine;
use super::commit::Config;
use super::record::Status;
use super::teardown::Teardown;
use crate::hello;

/// The label of an image that is made to be looked at: `run` draws its portrait.
pub const PORTRAIT: &str = "org.dockster.portrait";

/// The name of the image that is built in.
const HELLO: &str = "hello";

/// Where its files are put together.
const TREE: &str = "hello.tree";

impl Engine {
    /// Makes the built-in image, if that is what is wanted and it is not there
    /// (or was made of another version of this program).
    pub fn provide_hello(&self, wanted: &str) -> Result<()> {
        let version = version()?;
        if !matches!(wanted, "hello" | "hello:latest") || self.has_hello(&version) {
            return Ok(());
        }
        // Of several who want it at once, one makes it.
        let lock = self.hello_lock()?;
        lock.lock().call(|| "flock(hello.lock)")?;
        if self.has_hello(&version) {
            return Ok(());
        }
        let tree = self.root.join(TREE);
        self.remove_tree()?;
        fs::create_dir(&tree).call(|| format!("mkdir({tree:?})"))?;
        let made = hello::tree(&tree).and_then(|()| {
            let message = Some("the dockster program itself".to_owned());
            let recipe = Recipe { config: hello_config(&version), message, ..Recipe::default() };
            self.store.import(Source::Directory(&tree), Some(HELLO), &recipe)
        });
        let mut down = Teardown::default();
        down.also(self.remove_tree());
        made.and(down.end())
    }

    /// Whether it is there. Somebody's own image of that name stays theirs.
    fn has_hello(&self, version: &str) -> bool {
        let Ok(image) = self.store.resolve(HELLO) else { return false };
        let labels = image.config.config().as_ref().and_then(|config| config.labels().as_ref());
        let made_of = labels.and_then(|labels| labels.get(PORTRAIT));
        made_of.is_none_or(|made_of| made_of == version)
    }

    /// Removes what is left of an attempt to make it that was killed.
    pub(super) fn sweep_hello(&self) -> Result<()> {
        match self.root.join(TREE).exists() && self.hello_lock()?.try_lock().is_ok() {
            true => self.remove_tree(),
            false => Ok(()),
        }
    }

    fn hello_lock(&self) -> Result<File> {
        let path = self.root.join("hello.lock");
        File::create(&path).call(|| format!("open({path:?})"))
    }

    fn remove_tree(&self) -> Result<()> {
        let tree = self.root.join(TREE);
        match fs::remove_dir_all(&tree) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).call(|| format!("rm -r {tree:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Makes an image of one layer.
    pub fn import(
        &self,
        source: Source<'_>,
        name: Option<&str>,
        recipe: &Recipe,
    ) -> Result<Imported> {
        self.store.import(source, name, recipe)
    }

    /// Takes a name from an image, and removes what no name and no container needs.
    pub fn remove_image(&self, wanted: &str, force: bool) -> Result<Removed> {
        self.store.remove(wanted, force, |image| {
            let records = self.list()?;
            let used: Vec<_> =
                records.iter().filter(|record| record.image_id == image.id).collect();
            let running =
                used.iter().find(|record| record.lives() || record.status == Status::Creating);
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

fn hello_config(version: &str) -> Config {
    let mut config = Config::new();
    config.insert("Entrypoint".to_owned(), json!(["/hello"]));
    config.insert("Labels".to_owned(), json!({ PORTRAIT: version }));
    config
}
