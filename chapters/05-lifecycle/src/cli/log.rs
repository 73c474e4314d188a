//! Catalogue: not needed to understand the chapter.
//!
//! Errors to stderr and to the file that `--log` names, in the two formats of
//! the library that runc logs with.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::SystemTime;

use ch01_clone::Error;

use super::{time, words};

/// Where errors are written. The file is not opened before there is one.
#[derive(Clone, Default)]
pub(super) struct Log {
    /// The file.
    pub(super) file: Option<PathBuf>,
    /// Whether a line is JSON.
    pub(super) json: bool,
}

/// For [`warn`], which is called without one.
static LOG: OnceLock<Log> = OnceLock::new();

/// Notes what stops nothing. If there is a file it goes there alone: our stderr
/// may be the container's already, and whoever reads that asked for no warnings.
pub(super) fn warn(error: &Error) {
    let message = words::sentence(error);
    match LOG.get() {
        Some(log) if log.file.is_some() => log.line("warning", &message),
        _ => drop(writeln!(std::io::stderr(), "warning: {message}")),
    }
}

impl Log {
    /// From here on warnings go there.
    pub(super) fn takes_warnings(&self) {
        // The first one stays: a command has one.
        let _ = LOG.set(self.clone());
    }

    /// Says that `program` has failed.
    pub(super) fn error(&self, program: &str, message: &str) {
        // Whoever closed our stderr does not want to hear of it.
        let _ = std::io::stderr().write_all(format!("{program}: {message}\n").as_bytes());
        self.line("error", message);
    }

    /// Notes a step that is about to be taken (`--debug`).
    pub(super) fn debug(&self, message: &str) {
        match self.file {
            Some(_) => self.line("debug", message),
            None => drop(writeln!(std::io::stderr(), "{message}")),
        }
    }

    fn line(&self, level: &str, message: &str) {
        let Some(file) = self.file.as_ref().filter(|file| *file != OsStr::new("/dev/stderr"))
        else {
            return;
        };
        let now = time::to_the_second(SystemTime::now());
        let line = match self.json {
            true => {
                format!("{}\n", serde_json::json!({"level": level, "msg": message, "time": now}))
            }
            false => format!("time={now:?} level={level} msg={message:?}\n"),
        };
        let opened = OpenOptions::new().append(true).create(true).mode(0o644).open(file);
        // One write for a line: who reads along never sees half of one.
        if let Err(error) = opened.and_then(|mut file| file.write_all(line.as_bytes())) {
            let _ = writeln!(std::io::stderr(), "cannot write to {file:?}: {error}");
        }
    }
}
