//! A bundle: a directory with a root file system and a config.json.

use std::path::{Path, PathBuf};

use ch01_clone::{Error, Result};
use oci_spec::runtime::Spec;

/// What a container shall be, as the OCI runtime specification writes it down.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The directory.
    pub dir: PathBuf,
    /// Its config.json.
    pub spec: Spec,
}

impl Bundle {
    /// Reads and checks the configuration in `dir`.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let spec = Spec::load(&path).map_err(|error| Error::new(format!("{path:?}: {error}")))?;
        Ok(Self { dir: dir.to_owned(), spec })
    }
}
