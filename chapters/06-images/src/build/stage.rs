//! Catalogue: not needed to understand the chapter.
//!
//! One stage of a build as far as it has come: its layers, and what its image says of itself.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ch01_clone::{Error, Result};
use oci_spec::image::{Config, History, HistoryBuilder, ImageConfiguration};
use serde_json::{Map, Value};

use super::cache::Layers;
use super::expand::Reading;
use super::instruction::Command;
use crate::layout::to_json;
use crate::store::{Image, Store};

/// What docker's configuration has and the OCI's has not.
pub(super) const MORE: [&str; 3] = ["Healthcheck", "Shell", "OnBuild"];

/// Arguments that need no ARG, and that no history shows.
pub(crate) const PROXIES: [&str; 5] =
    ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// A stage, finished or not.
#[derive(Clone)]
pub(crate) struct Stage {
    /// None yet: `FROM scratch`.
    pub(crate) layers: Option<Layers>,
    pub(crate) image: ImageConfiguration,
    pub(crate) config: Config,
    pub(crate) more: Map<String, Value>,
    /// The values of those ARGs that were met.
    pub(crate) args: BTreeMap<String, String>,
    pub(crate) history: Vec<History>,
    pub(crate) escape: char,
    /// Whether CMD is this stage's own.
    pub(super) own_cmd: bool,
}

/// The values that ARG may take, by precedence.
pub(crate) struct Given<'a> {
    /// `--build-arg`.
    pub(crate) build: &'a BTreeMap<String, String>,
    /// ARGs before the first FROM, and those that need none (`TARGETARCH`).
    pub(crate) global: &'a BTreeMap<String, String>,
    /// Which of the first were asked for.
    pub(crate) used: &'a RefCell<std::collections::BTreeSet<String>>,
}

impl Given<'_> {
    /// What an ARG is: as the user says, as it says itself, as was said before all stages.
    pub(crate) fn value(&self, name: &str, default: Option<String>) -> Option<String> {
        if let Some(value) = self.build.get(name) {
            self.used.borrow_mut().insert(name.to_owned());
            return Some(value.clone());
        }
        default.or_else(|| self.global.get(name).cloned())
    }
}

impl Stage {
    /// Of nothing.
    pub(crate) fn scratch(escape: char) -> Self {
        Self {
            layers: None,
            image: ImageConfiguration::default(),
            config: Config::default(),
            more: Map::new(),
            args: BTreeMap::new(),
            history: Vec::new(),
            escape,
            own_cmd: false,
        }
    }

    /// Of an image, whose layers these are.
    pub(crate) fn of(store: &Store, image: &Image, layers: Layers, escape: char) -> Result<Self> {
        let text = store.config_text(image)?;
        let whole: Value =
            serde_json::from_slice(&text).map_err(|error| Error::new(error.to_string()))?;
        let more = MORE.iter().filter_map(|key| {
            let value = whole["config"].get(key).filter(|value| !value.is_null())?;
            Some(((*key).to_owned(), value.clone()))
        });
        Ok(Self {
            layers: Some(layers),
            image: image.config.clone(),
            config: image.config.config().clone().unwrap_or_default(),
            more: more.collect(),
            history: image.config.history().clone().unwrap_or_default(),
            ..Self::scratch(escape)
        })
    }

    /// The next one begins where this one has ended.
    pub(crate) fn next(&self) -> Self {
        Self { args: BTreeMap::new(), own_cmd: false, ..self.clone() }
    }

    /// The directories of its layers, the topmost first.
    pub(crate) fn dirs(&self) -> &[std::path::PathBuf] {
        self.layers.as_ref().map_or(&[], Layers::dirs)
    }

    /// What its layers are together.
    pub(crate) fn id(&self) -> String {
        self.layers.as_ref().map_or_else(String::new, Layers::id)
    }

    pub(crate) fn env(&self) -> Vec<String> {
        self.config.env().clone().unwrap_or_default()
    }

    /// What a variable is: ENV comes before ARG.
    fn variable(&self, name: &str) -> Option<String> {
        let of_env = self.env().into_iter().rev().find_map(|pair| {
            pair.split_once('=').filter(|(n, _)| *n == name).map(|(_, value)| value.to_owned())
        });
        of_env.or_else(|| self.args.get(name).cloned())
    }

    /// A word with its variables replaced.
    pub(crate) fn word(&self, text: &str) -> Result<String> {
        let variable = |name: &str| self.variable(name);
        Reading { escape: self.escape, variable: &variable }.word(text)
    }

    pub(crate) fn document(&self, text: &str) -> Result<String> {
        let variable = |name: &str| self.variable(name);
        Reading { escape: self.escape, variable: &variable }.document(text)
    }

    pub(super) fn words(&self, text: &str) -> Result<Vec<String>> {
        let variable = |name: &str| self.variable(name);
        Reading { escape: self.escape, variable: &variable }.words(text)
    }

    pub(crate) fn shell(&self) -> Vec<String> {
        let own = self.more.get("Shell").cloned();
        let own: Option<Vec<String>> = own.and_then(|value| serde_json::from_value(value).ok());
        own.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()])
    }

    /// The words of a command, in either form.
    pub(crate) fn command(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(words) => words.clone(),
            Command::Shell(text) if text.is_empty() => Vec::new(),
            Command::Shell(text) => self.shell().into_iter().chain([text.clone()]).collect(),
        }
    }

    /// A path in it: what is relative begins at the working directory.
    pub(crate) fn path(&self, text: &str) -> String {
        let base = match text.starts_with('/') {
            true => "",
            false => self.config.working_dir().as_deref().unwrap_or_default(),
        };
        let mut names: Vec<&str> = Vec::new();
        for name in base.split('/').chain(text.split('/')) {
            match name {
                "" | "." => {}
                ".." => drop(names.pop()),
                name => names.push(name),
            }
        }
        format!("/{}", names.join("/"))
    }

    /// What the base wants to be done first. Whoever builds upon this one does not hear of it.
    pub(crate) fn triggers(&mut self) -> Vec<String> {
        let all = self.more.remove("OnBuild").unwrap_or_default();
        serde_json::from_value(all).unwrap_or_default()
    }

    /// One more line of the history.
    pub(crate) fn note(&mut self, created: &str, what: &str, layer: bool) {
        let entry = HistoryBuilder::default().created(created).created_by(what).empty_layer(!layer);
        self.history.extend(entry.build());
    }

    /// The whole configuration of its image, as JSON.
    pub(crate) fn written(&self, created: &str) -> Result<(ImageConfiguration, Value)> {
        let mut image = self.image.clone();
        let diff_ids = self.layers.as_ref().map(Layers::diff_ids).unwrap_or_default();
        let mut rootfs = oci_spec::image::RootFs::default();
        rootfs.set_diff_ids(diff_ids);
        image.set_created(Some(created.to_owned())).set_config(Some(self.config.clone()));
        image.set_rootfs(rootfs).set_history(Some(self.history.clone()));
        let text = to_json(&image)?;
        let mut whole: Value =
            serde_json::from_slice(&text).map_err(|error| Error::new(error.to_string()))?;
        for (key, value) in &self.more {
            whole["config"][key] = value.clone();
        }
        Ok((image, whole))
    }
}
