//! What labs and chapters' programs leave when they are killed: empty cgroups, scratch
//! directories, containers and their wires. Only what carries Dockster's name, and only when the
//! process whose pid is in that name is gone, or the container has ended.

mod containers;
mod wires;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ch01_clone::error::Context;
use ch01_clone::{Error, Result};
use ch03_cgroups::{Cgroup, Hierarchy};
use nix::unistd::geteuid;

use crate::{lab, programs, run, tree};

/// The cgroups in which ours have theirs: `dockster-lab/PID`, `dockster-03/03-cgroups-PID`.
const PARENTS: [&str; 3] = [lab::PARENT, "dockster-03", "dockster-04"];

/// Scratch directories, of labs, of attempts at an exercise, and of the doctor.
const SCRATCHES: [&str; 3] = [lab::PREFIX, "dockster-attempt-", ".dockster-doctor-"];

/// What became of the leftovers.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// What is gone, a line each.
    pub removed: Vec<String>,
    /// What could not be removed, and why.
    pub failed: Vec<Error>,
}

/// Takes them away. Done twice, the second time finds nothing.
pub fn clean() -> Cleaned {
    let mut cleaned = Cleaned::default();
    for parent in PARENTS {
        // Without a place for cgroups there is none of ours.
        let Ok(place) = Hierarchy::probe().and_then(|h| h.cgroup("", parent)) else { continue };
        for name in abandoned_cgroups(&place) {
            let removed = remove_cgroup(parent, &name);
            cleaned.note(format!("cgroup {parent}/{name}"), removed);
        }
    }
    containers::clean(&mut cleaned);
    wires::clean(&mut cleaned);
    for directory in abandoned_directories(&std::env::temp_dir()) {
        let removed = lab::remove_all(&directory);
        cleaned.note(format!("directory {}", directory.display()), removed);
    }
    cleaned
}

impl Cleaned {
    fn note(&mut self, what: String, result: Result<()>) {
        match result {
            Ok(()) => self.removed.push(what),
            Err(error) => self.failed.push(error),
        }
    }
}

/// The cgroups below `place`, in any hierarchy, whose process is gone.
fn abandoned_cgroups(place: &Cgroup) -> Vec<String> {
    let mut names: Vec<String> = place.paths().values().flat_map(|dir| directories(dir)).collect();
    names.sort();
    names.dedup();
    names.retain(|name| pid_in(name).is_some_and(|pid| !lives(pid)));
    names
}

fn remove_cgroup(parent: &str, name: &str) -> Result<()> {
    let cgroup = Hierarchy::probe()?.cgroup(parent, name)?;
    cgroup.kill().and_then(|()| cgroup.remove_and_prune())
}

/// Ours, and not another user's.
fn abandoned_directories(parent: &Path) -> Vec<PathBuf> {
    let own = |path: &Path| {
        path.symlink_metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == geteuid().as_raw())
    };
    let names = directories(parent).into_iter().filter(|name| {
        let rest = SCRATCHES.iter().find_map(|prefix| name.strip_prefix(prefix));
        rest.and_then(first_number).is_some_and(|pid| !lives(pid))
    });
    names.map(|name| parent.join(name)).filter(|path| own(path)).collect()
}

fn directories(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let directories = entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// `4711`, `03-cgroups-4711` or `04-network-4711`: 4711.
fn pid_in(name: &str) -> Option<u32> {
    let programs = ["03-cgroups-", "04-network-"];
    let pid = programs.iter().find_map(|program| name.strip_prefix(program));
    pid.unwrap_or(name).parse().ok()
}

/// `4711` or `4711-2`: 4711.
fn first_number(text: &str) -> Option<u32> {
    text.split('-').next()?.parse().ok()
}

/// Whether a process has this pid now. It may be another one that got it later: then what
/// is left stays a while longer.
fn lives(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// A chapter's program, built.
fn program(chapter: &str) -> anyhow::Result<PathBuf> {
    let tree = tree();
    let chapter = programs::with_program(&tree, chapter)?;
    run::refuse_to_build_as_root(&tree, "cargo x clean")?;
    programs::program(&programs::build(&tree, &[&chapter])?, &chapter.name)
}

/// What a program has printed, or why it could not.
fn said(program: &Path, words: &[&str]) -> Result<String> {
    let done = Command::new(program).args(words).output();
    let done = done.call(|| format!("execve({program:?})"))?;
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        false => Err(Error::new(String::from_utf8_lossy(&done.stderr).trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_pids_in_names() {
        assert_eq!(pid_in("4711"), Some(4711));
        assert_eq!(pid_in("03-cgroups-4711"), Some(4711));
        assert_eq!(pid_in("04-network-4711"), Some(4711));
        assert_eq!(pid_in("supervisor"), None);
        assert_eq!(first_number("4711-2"), Some(4711));
        assert_eq!(first_number("x-2"), None);
    }
}
