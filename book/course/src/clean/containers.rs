//! What chapter 5's program left: containers that have ended, or were never finished,
//! with their cgroups. Its own `delete` takes them away; it knows what belongs to them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use ch01_clone::Error;
use nix::unistd::geteuid;

use super::{Cleaned, directories, program, said};

const PROGRAM: &str = "05-lifecycle";

/// Deletes them. Without any, the program is not even built.
pub(super) fn clean(cleaned: &mut Cleaned) {
    let Some(place) = place().filter(|place| place.is_dir()) else { return };
    let all = directories(&place);
    if !all.is_empty() {
        match program("05") {
            Ok(program) => delete(&program, &place, &all, cleaned),
            Err(error) => cleaned.failed.push(Error::new(format!("{error:#}"))),
        }
    }
    // Only if none is left in it.
    let _ = fs::remove_dir(&place);
}

fn delete(program: &Path, place: &Path, all: &[String], cleaned: &mut Cleaned) {
    for id in all.iter().filter(|id| has_ended(program, &place.join(id), id)) {
        let deleted = said(program, &["delete", "--force", id]);
        cleaned.note(format!("container {id}"), deleted.map(drop));
    }
}

/// Where it keeps its containers when nobody says otherwise.
fn place() -> Option<PathBuf> {
    let run = match geteuid().is_root() {
        true => Some(PathBuf::from("/run")),
        false => std::env::var_os("XDG_RUNTIME_DIR").filter(|d| !d.is_empty()).map(PathBuf::from),
    };
    run.map(|run| run.join(PROGRAM))
}

/// Whether nobody needs it any more: its program has ended, or whoever made it was killed
/// before there was one. Who makes one holds its lock.
fn has_ended(program: &Path, container: &Path, id: &str) -> bool {
    let state = said(program, &["state", id]).unwrap_or_default();
    let is = |status: &str| state.contains(&format!("\"status\": \"{status}\""));
    let lives = ["created", "running", "paused"].into_iter().any(is);
    let alone = || File::open(container).is_ok_and(|dir| dir.try_lock().is_ok());
    !lives && (is("stopped") || alone())
}
