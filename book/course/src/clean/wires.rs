//! What chapter 4's program left of its network: links, rules, and who has which address.
//! All of it hangs on what is written down, and whoever starts next takes away what is of
//! the dead. So one is started, which wants nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ch01_clone::{Error, Result};
use nix::unistd::geteuid;

use super::{Cleaned, directories, lives, pid_in, program, said};
use crate::{lab, rootfs};

/// Takes them away. Where nobody was killed, no program is started.
pub(super) fn clean(cleaned: &mut Cleaned) {
    let Some(place) = place().filter(|place| place.is_dir()) else { return };
    let (dead, unused) = left(&place);
    if dead.is_empty() && !unused {
        return;
    }
    if let Err(error) = start_one() {
        return cleaned.failed.push(Error::new(format!("{error:#}")));
    }
    let (still, _) = left(&place);
    for name in dead {
        let gone = match still.contains(&name) {
            true => Err(Error::new(format!("the wire of {name} is still written down"))),
            false => Ok(()),
        };
        cleaned.note(format!("wire of {name}"), gone);
    }
}

/// Who has an address and is dead; and whether some network has nobody who lives.
fn left(place: &Path) -> (BTreeSet<String>, bool) {
    let (mut dead, mut unused) = (BTreeSet::new(), false);
    for namespace in directories(place) {
        let namespace = place.join(namespace);
        let names: BTreeSet<String> =
            directories(&namespace).iter().flat_map(|net| named(&namespace.join(net))).collect();
        let (alive, gone): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| pid_in(name).is_some_and(lives));
        unused |= alive.is_empty();
        dead.extend(gone);
    }
    (dead, unused)
}

/// The containers that a network's leases speak of: `04-network-PID`.
fn named(network: &Path) -> Vec<String> {
    let leases = fs::read_to_string(network.join("leases.json")).unwrap_or_default();
    let words = leases.split('"').filter(|word| word.starts_with("04-network-"));
    words.map(str::to_owned).collect()
}

/// As the program itself looks for it.
fn place() -> Option<PathBuf> {
    let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    let run = own.or_else(|| geteuid().is_root().then(|| "/run".into()));
    run.map(|run| Path::new(&run).join("dockster-04"))
}

fn start_one() -> anyhow::Result<()> {
    let program = program("04")?;
    let scratch = lab::Scratch::new()?;
    let root = scratch.path().join("rootfs");
    rootfs::make(&root)?;
    let root = root.to_string_lossy();
    let started: Result<String> = said(&program, &["--network", "none", &root, "--", "true"]);
    Ok(started.map(drop)?)
}
