//! Catalogue: not needed to understand the chapter.
//!
//! Ranges of ids that root has granted, and the programs that map them.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Pid, User, geteuid};

use crate::error::{Context, Error, Result};
use crate::idmap::{IdMaps, IdRange};

impl IdMaps {
    /// The maps of this process's own user namespace.
    pub fn current() -> Result<Self> {
        let read = |path| fs::read_to_string(path).call(|| format!("read({path})"));
        Ok(Self {
            uids: parse(&read("/proc/self/uid_map")?),
            gids: parse(&read("/proc/self/gid_map")?),
        })
    }

    /// How many user ids exist inside.
    pub fn users(&self) -> u64 {
        self.uids.iter().map(|range| u64::from(range.count)).sum()
    }

    /// Whether this group exists inside.
    pub fn has_group(&self, gid: u32) -> bool {
        self.gids.iter().any(|range| gid >= range.inside && gid - range.inside < range.count)
    }
}

/// As the kernel shows it: a range a line.
fn parse(map: &str) -> Vec<IdRange> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map_while(|number| number.parse().ok());
        Some(IdRange { inside: numbers.next()?, outside: numbers.next()?, count: numbers.next()? })
    };
    map.lines().filter_map(line).collect()
}

/// The first range that is mine, from a file of `name:first:count`.
pub(crate) fn granted(file: &str) -> Option<IdRange> {
    let name = User::from_uid(geteuid()).ok().flatten().map(|user| user.name);
    let names = [name.unwrap_or_default(), geteuid().to_string()];
    fs::read_to_string(file).ok()?.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        let (outside, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let range = IdRange { inside: 1, outside, count };
        (names.iter().any(|n| n == name) && count > 0).then_some(range)
    })
}

/// Runs newuidmap or newgidmap.
pub(crate) fn helper(program: &str, child: Pid, ranges: &[IdRange]) -> Result<()> {
    let numbers = ranges.iter().flat_map(|r| [r.inside, r.outside, r.count]).map(|n| n.to_string());
    let output = Command::new(program).arg(child.to_string()).args(numbers).output();
    let output = output.call(|| format!("{program} {child}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::new(said)
        .hint("it needs its set-uid bit, and your ranges in /etc/subuid and /etc/subgid"))
}

/// Whether both set-uid programs are there.
pub(crate) fn helpers_exist() -> bool {
    in_path("newuidmap") && in_path("newgidmap")
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| Path::new(&dir).join(program).exists())
}
