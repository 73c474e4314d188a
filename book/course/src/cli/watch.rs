//! `cargo x watch`.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use clap::Args;
use course::exercise::files;
use course::{mine, progress, tree};

use super::check::{begun, one};

/// Check an exercise each time you save it
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// The exercise; else the one that you began last
    pub exercise: Option<String>,
}

/// Runs it until it is interrupted.
pub fn watch(args: WatchArgs) -> Result<u8> {
    let tree = tree();
    let last = || progress::all(&tree).pop().map(|mark| mark.id);
    let id = args.exercise.or_else(last);
    let id = id.context("nothing is begun: cargo x start 01.1")?;
    let exercise = begun(&tree, &id)?;
    let folder = mine::folder(&tree, &exercise);
    loop {
        // Taken before the check: what is saved while it runs is checked next.
        let seen = changed(&folder);
        one(&tree, &exercise)?;
        println!("\nwatching {}; Ctrl-C ends it", folder.strip_prefix(&tree)?.display());
        while changed(&folder) == seen {
            sleep(Duration::from_secs(1));
        }
        println!();
    }
}

/// When something in there was changed last, and how many files there are.
fn changed(dir: &Path) -> (SystemTime, usize) {
    let mut sum = (SystemTime::UNIX_EPOCH, 0);
    for path in files(dir) {
        let (time, count) = match path.is_dir() {
            true => changed(&path),
            false => {
                let time = fs::metadata(&path).and_then(|meta| meta.modified());
                (time.unwrap_or(SystemTime::UNIX_EPOCH), 1)
            }
        };
        sum = (sum.0.max(time), sum.1 + count);
    }
    sum
}
