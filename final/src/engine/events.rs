//! What happens to containers, a line each, where `dockster events` reads it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Engine;
use super::record::Record;
use crate::shim::time;

/// Where they are written down, below the root.
const FILE: &str = "events.log";

/// A file that is longer is put aside: bytes.
const LONG: u64 = 1 << 20;

/// One thing that has happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// When: nanoseconds since 1970.
    pub time: u64,
    /// What: `create`, `start`, `die`, `destroy`, ...
    pub action: String,
    /// To which container.
    pub id: String,
    /// Its name then.
    pub name: String,
    /// Its image.
    pub image: String,
    /// How it ended, when it did.
    pub exit_code: Option<u8>,
    /// Its labels.
    pub labels: std::collections::BTreeMap<String, String>,
}

impl Engine {
    /// Where they are written down.
    pub fn events_file(&self) -> PathBuf {
        self.root.join(FILE)
    }

    /// Writes one down. It is news, and no truth: if that fails, all else goes on.
    pub fn note(&self, record: &Record, action: &str) {
        note(&self.root, record, action);
    }
}

/// The same, below this root.
pub fn note(root: &Path, record: &Record, action: &str) {
    let event = Event {
        time: time::now(),
        action: action.to_owned(),
        id: record.id.clone(),
        name: record.name.clone(),
        image: record.image.clone(),
        exit_code: if action == "die" { record.exit_code } else { None },
        labels: record.plan.labels.clone(),
    };
    let Ok(mut line) = serde_json::to_vec(&event) else { return };
    line.push(b'\n');
    let path = root.join(FILE);
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
    let Ok(mut file) = opened else { return };
    let _ = file.write_all(&line);
    if file.metadata().is_ok_and(|metadata| metadata.len() > LONG) {
        let _ = fs::rename(&path, root.join("events.log.1"));
    }
}
