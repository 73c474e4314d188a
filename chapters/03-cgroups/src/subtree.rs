//! How a controller gets to a cgroup: handed down, level by level.
//!
//! A new cgroup has no `memory.max`. Its parent has to hand the controller on,
//! by `+memory` in the parent's own `cgroup.subtree_control`, and can only hand
//! on what the grandparent handed to it; `cgroup.controllers` lists that.
//!
//! ```text
//! /sys/fs/cgroup   cgroup.controllers  cpu io memory pids    subtree_control  memory
//!  └ dockster      cgroup.controllers  memory                subtree_control  memory
//!     └ 4f1c9a     cgroup.controllers  memory                memory.max is here
//! ```
//!
//! And one rule: **no internal processes**. A cgroup that hands controllers on
//! holds no processes itself, or they would compete with its children, and by
//! which numbers? Only the root of all cgroups is exempt.

use std::fs::{create_dir, create_dir_all, remove_dir};
use std::io::ErrorKind;
use std::path::Path;

use ch01_clone::error::Context;
use ch01_clone::{Error, Result};
use nix::errno::Errno;

use crate::interface::{lists, read, write};
use crate::place::invalid;

/// Where we move to when it is we who break the rule of no internal processes.
pub(crate) const LEAF: &str = "supervisor";

/// How often a parent may vanish under our hands before we give up.
const ATTEMPTS: usize = 100;

/// Makes the cgroup `dir` and has it get the controllers that its limits need.
pub(crate) fn make(dir: &Path, needed: &[String]) -> Result<()> {
    make_directory(dir)?;
    supply(dir, needed)
}

/// Has the cgroup `dir`, which is there, get these controllers.
///
/// Only now: with a child in it, nobody can remove the parent any more and put
/// one in its place that hands nothing on.
pub(crate) fn supply(dir: &Path, needed: &[String]) -> Result<()> {
    let parent = dir.parent().unwrap_or(dir);
    hand_on(parent, needed).map_err(hint)?;
    // It hands on what we need already, and holds processes all the same.
    if invalid(dir) { make_room(parent).map_err(hint) } else { Ok(()) }
}

/// Makes the directory and its parents.
pub(crate) fn make_directory(dir: &Path) -> Result<()> {
    let parent = dir.parent().unwrap_or(dir);
    let attempt = || {
        match create_dir_all(parent) {
            // It was there when we came and gone when std looked at it again.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made.call(|| format!("mkdir({parent:?})")),
        }?;
        make_fresh(dir)
    };
    for _ in 1..ATTEMPTS {
        match attempt() {
            // The parent was there and is gone: somebody has just removed the
            // last cgroup in it, and then it. Once more.
            Err(Error { errno: Some(Errno::ENOENT | Errno::ENODEV), .. }) => {}
            done => return done.map_err(hint),
        }
    }
    attempt().map_err(hint)
}

fn make_fresh(dir: &Path) -> Result<()> {
    match create_dir(dir) {
        // Left behind by a runtime that was killed. If processes are in it, it
        // cannot be removed, and the second mkdir says that it exists.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let _ = remove_dir(dir);
            create_dir(dir)
        }
        made => made,
    }
    .call(|| format!("mkdir({dir:?})"))
}

/// Has the parent of `dir` hand on this controller to it.
pub(crate) fn hand_on_one(dir: &Path, controller: &str) -> Result<()> {
    enable(dir.parent().unwrap_or(dir), controller)
}

/// Has `dir` hand on what its children's limits need, and what counts for them.
fn hand_on(dir: &Path, needed: &[String]) -> Result<()> {
    needed.iter().try_for_each(|controller| enable(dir, controller))?;
    for controller in ["memory", "pids", "io"] {
        // Nothing is limited by these, but without them nobody counts. (The
        // processor's time is counted everywhere.)
        let _ = enable(dir, controller);
    }
    Ok(())
}

/// Has `dir` hand on this controller to its children.
// ANCHOR: enable
fn enable(dir: &Path, controller: &str) -> Result<()> {
    if lists(&read(dir, "cgroup.subtree_control")?, controller) {
        return Ok(());
    }
    if !lists(&read(dir, "cgroup.controllers")?, controller) {
        match dir.parent().filter(|up| up.join("cgroup.controllers").exists()) {
            Some(up) => enable(up, controller)?,
            None => return Err(not_available(controller, dir)),
        }
    }
    make_room(dir)?;
    write(dir, "cgroup.subtree_control", &format!("+{controller}"))
}
// ANCHOR_END: enable

/// Sees to the rule of no internal processes.
///
/// The kernel's own check is not enough: for `pids` and `cpu` it would allow
/// us, because threads of one process may be divided by these, and then
/// refuse to let a process into the child.
// ANCHOR: make-room
pub(crate) fn make_room(dir: &Path) -> Result<()> {
    if holds_strangers(dir)? {
        return Err(Error::os(
            format!("write({:?})", dir.join("cgroup.subtree_control")),
            Errno::EBUSY,
        ));
    }
    // Only we are in a cgroup that was delegated to us, and in the way.
    match is_root(dir) || read(dir, "cgroup.procs")?.is_empty() {
        true => Ok(()),
        false => step_aside(dir),
    }
}
// ANCHOR_END: make-room

/// Only the root of all cgroups has no type, and no rule.
fn is_root(dir: &Path) -> bool {
    !dir.join("cgroup.type").exists()
}

/// Whether processes other than this one are in `dir`, and matter there.
pub(crate) fn holds_strangers(dir: &Path) -> Result<bool> {
    // ANCHOR: strangers
    let ours = std::process::id().to_string();
    Ok(!is_root(dir) && read(dir, "cgroup.procs")?.lines().any(|pid| pid != ours))
    // ANCHOR_END: strangers
}

/// Moves this process into a child of `dir`.
fn step_aside(dir: &Path) -> Result<()> {
    // ANCHOR: aside
    let leaf = dir.join(LEAF);
    match create_dir(&leaf) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.call(|| format!("mkdir({leaf:?})")),
    }?;
    write(&leaf, "cgroup.procs", "0")
    // ANCHOR_END: aside
}

fn not_available(controller: &str, top: &Path) -> Error {
    let error = Error::new(format!("the controller {controller} is not available in {top:?}"));
    error.hint(format!(
        "for an ordinary user systemd has to delegate it (`systemctl edit user@.service`: \
         [Service] Delegate=cpu cpuset io memory pids); else the kernel was started or built without {controller}"
    ))
}

/// What to try when the kernel does not let us make a cgroup or hand on a controller.
pub(crate) fn hint(error: Error) -> Error {
    match error.errno {
        Some(Errno::EBUSY) => error.hint(
            "that cgroup holds processes, and one that hands controllers on may hold none. \
             In a container: mkdir /sys/fs/cgroup/init, then write each pid in \
             /sys/fs/cgroup/cgroup.procs to /sys/fs/cgroup/init/cgroup.procs",
        ),
        Some(Errno::EEXIST) => error.hint("a container of that name is running"),
        Some(Errno::EACCES | Errno::EPERM) => error.hint(
            "this cgroup is not delegated to you: run it as root, or in a scope of its own \
             (systemd-run --user --scope -p Delegate=yes …), or without limits",
        ),
        _ => error,
    }
}
