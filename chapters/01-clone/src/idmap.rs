//! Id maps: which id inside a user namespace is which id outside.
//!
//! Whoever has no privileges may map one id: their own. For more, root has
//! written down in /etc/subuid and /etc/subgid which ranges are theirs, and the
//! set-uid programs newuidmap(1) and newgidmap(1) map just these.

use std::fs;

use nix::unistd::{Pid, getegid, geteuid};

use crate::error::{Context, Result};
use crate::{step, subid};

/// `count` ids from `inside` on are the ids from `outside` on (user_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// The first id in the new user namespace.
    pub inside: u32,
    /// The first id in the parent's user namespace.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The maps of a user namespace: users and groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdMaps {
    /// For /proc/PID/uid_map.
    pub uids: Vec<IdRange>,
    /// For /proc/PID/gid_map.
    pub gids: Vec<IdRange>,
}

impl IdMaps {
    /// The best that this user can have: the ranges, if somebody granted them, else one id.
    pub fn best() -> Self {
        Self::ranges().unwrap_or_else(Self::one)
    }

    /// Root inside is who I am outside, and nobody else exists.
    pub fn one() -> Self {
        // ANCHOR: one
        let mine = |outside| vec![IdRange { inside: 0, outside, count: 1 }];
        Self { uids: mine(geteuid().as_raw()), gids: mine(getegid().as_raw()) }
        // ANCHOR_END: one
    }

    /// Root inside is who I am outside; 1 and on are the first range that
    /// /etc/subuid and /etc/subgid grant me. `None` without a grant.
    pub fn ranges() -> Option<Self> {
        let with = |own, file| {
            let granted = subid::granted(file)?;
            Some(vec![IdRange { inside: 0, outside: own, count: 1 }, granted])
        };
        let uids = with(geteuid().as_raw(), "/etc/subuid")?;
        let gids = with(getegid().as_raw(), "/etc/subgid")?;
        (geteuid().is_root() || subid::helpers_exist()).then_some(Self { uids, gids })
    }

    /// In the parent, while the child waits: gives the child's user namespace these maps.
    pub fn write(&self, child: Pid) -> Result<()> {
        let (uids, gids) = (spell(&self.uids), spell(&self.gids));
        step!(
            "id-map",
            "In a new user namespace no id is anybody yet. The parent says, once and \
             for all, which id inside is which id outside.",
            "cat /proc/PID/uid_map /proc/PID/gid_map",
            "write(/proc/{child}/uid_map, \"{uids}\"), write(/proc/{child}/gid_map, \"{gids}\")",
            self.write_both(child, &uids, &gids),
        )
    }

    fn write_both(&self, child: Pid, uids: &str, gids: &str) -> Result<()> {
        let only = |all: &[IdRange], id| matches!(all, [r] if r.count == 1 && r.outside == id);
        // ANCHOR: write_both
        if geteuid().is_root() {
            write(child, "uid_map", uids)?;
            write(child, "gid_map", gids)
        } else if only(&self.uids, geteuid().as_raw()) && only(&self.gids, getegid().as_raw()) {
            // CVE-2014-8989: leaving a group could give rights that being in it
            // takes away, so who maps only their own may not call setgroups.
            write(child, "setgroups", "deny")?;
            write(child, "uid_map", uids)?;
            write(child, "gid_map", gids)
        } else {
            subid::helper("newuidmap", child, &self.uids)?;
            subid::helper("newgidmap", child, &self.gids)
        }
        // ANCHOR_END: write_both
    }
}

/// As the kernel wants it: a range a line.
fn spell(ranges: &[IdRange]) -> String {
    let line = |r: &IdRange| format!("{} {} {}", r.inside, r.outside, r.count);
    ranges.iter().map(line).collect::<Vec<_>>().join("\\n")
}

fn write(child: Pid, file: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{child}/{file}");
    let written = fs::write(&path, text.replace("\\n", "\n"));
    written.call(|| format!("write({path}, \"{text}\")")).map_err(|error| match error.errno {
        Some(nix::errno::Errno::EPERM) => error
            .hint("if AppArmor restricts user namespaces here, `dockster doctor` says what to do"),
        _ => error,
    })
}
