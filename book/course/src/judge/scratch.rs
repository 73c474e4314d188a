//! An attempt's own directory.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;
use std::{env, fs, io, process};

/// A directory that is removed with everything in it.
pub struct Scratch(PathBuf);

impl Scratch {
    /// In `TMPDIR` or else `/var/tmp`: a `/tmp` is often in memory.
    pub fn new() -> io::Result<Scratch> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let parent = env::var_os("TMPDIR").map_or("/var/tmp".into(), PathBuf::from);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("dockster-attempt-{}-{number}", process::id()));
        fs::create_dir(&path)?;
        Ok(Scratch(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Processes that were killed may need a moment to let go of it.
        for _ in 0..100 {
            match fs::remove_dir_all(&self.0) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    sleep(Duration::from_millis(20));
                }
                _ => return,
            }
        }
        eprintln!("left behind: {}", self.0.display());
    }
}
