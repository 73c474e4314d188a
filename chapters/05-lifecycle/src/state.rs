//! What is known of a container, on disk, where the next command finds it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where a container stands (runtime.md, "State").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being made.
    Creating,
    /// Made; its program waits for `start`.
    Created,
    /// Its program runs.
    Running,
    /// All its processes stand still.
    Paused,
    /// Its program has ended.
    Stopped,
}

/// What `state` prints, and what hooks read (runtime.md, "State").
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The version of the specification that it follows.
    pub oci_version: String,
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub status: Status,
    /// Its first process, as the host numbers it; 0 when there is none.
    pub pid: i32,
    /// The directory of its bundle.
    pub bundle: PathBuf,
    /// What its configuration says in `annotations`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}
