//! Images from and to registries.

use std::path::PathBuf;

use ch01_clone::Result;
use ch06_images::Image;
use ch06_images::name::Reference;
use ch06_images::registry::{Keychain, Platform, Progress, Pull, Pulled, Push, Pushed, Registries};

use super::Engine;
use crate::rootless;

/// Where it is said how registries are reached, unless `--config-file` says otherwise.
pub fn default_config() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/".into()));
    match rootless::inside() || rootless::needed() {
        true => std::env::var_os("XDG_CONFIG_HOME")
            .map_or_else(|| home().join(".config"), PathBuf::from)
            .join("dockster/daemon.json"),
        false => "/etc/dockster/daemon.json".into(),
    }
}

impl Engine {
    /// How registries are reached.
    pub fn registries(&self) -> Result<Registries> {
        Registries::read(&self.config_file)
    }

    /// Fetches an image, and unpacks it.
    pub fn pull(
        &self,
        reference: &Reference,
        platform: Option<Platform>,
        progress: Progress<'_>,
    ) -> Result<(Pulled, Image)> {
        let registries = self.registries()?;
        let keychain = Keychain::open()?;
        let pull = Pull { registries: &registries, keychain: &keychain, platform, progress };
        let pulled = self.store.pull(reference, &pull)?;
        let image = self.store.resolve(&reference.to_string())?;
        Ok((pulled, image))
    }

    /// Sends an image.
    pub fn push(&self, reference: &Reference, progress: Progress<'_>) -> Result<Pushed> {
        let registries = self.registries()?;
        let keychain = Keychain::open()?;
        let push = Push { registries: &registries, keychain: &keychain, progress };
        self.store.push(reference, &push)
    }
}
