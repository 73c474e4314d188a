//! Catalogue: not needed to understand the chapter.
//!
//! Which devices a container may use.
//!
//! The specification gives a list, of which the last rule that matches counts
//! (config-linux.md, "Allowed Device list"). Version 1 has the controller
//! `devices`, which keeps one default and a set of exceptions. Version 2 has no
//! controller, but lets a program of ours decide (see `filter`). For both, the
//! list is brought into the form of version 1 first: a default, and exceptions.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, read_to_string};
use std::io::Write;
use std::path::Path;

use ch01_clone::error::Context;
use ch01_clone::{Error, Result};
use nix::errno::Errno;
use nix::unistd::Uid;

use crate::Cgroup;
use crate::filter;
use crate::interface::read;

/// What kind of device a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceKind {
    /// All of both kinds, whatever else the rule says.
    All,
    /// Block devices: disks.
    Block,
    /// Character devices: terminals, /dev/null.
    Char,
}

/// One rule of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRule {
    /// Whether it allows or denies.
    pub allow: bool,
    /// What it is about.
    pub kind: DeviceKind,
    /// The major device number; `None`: all.
    pub major: Option<u32>,
    /// The minor device number; `None`: all.
    pub minor: Option<u32>,
    /// Reading, writing, making (mknod(2)): letters of `rwm`.
    pub access: String,
}

impl DeviceRule {
    /// What every container may use, whatever its configuration says: the devices that
    /// the specification has in every /dev, the terminals of its own devpts, network
    /// tunnels, and to make nodes of any device, as runc.
    pub fn always() -> [(Option<&'static str>, Self); 11] {
        let rule = |kind, major, minor, access: &str| Self {
            allow: true,
            kind,
            major,
            minor,
            access: access.to_owned(),
        };
        let char = |major, minor| rule(DeviceKind::Char, Some(major), minor, "rwm");
        [
            (None, rule(DeviceKind::Char, None, None, "m")),
            (None, rule(DeviceKind::Block, None, None, "m")),
            (Some("/dev/null"), char(1, Some(3))),
            (Some("/dev/random"), char(1, Some(8))),
            (Some("/dev/full"), char(1, Some(7))),
            (Some("/dev/tty"), char(5, Some(0))),
            (Some("/dev/zero"), char(1, Some(5))),
            (Some("/dev/urandom"), char(1, Some(9))),
            (None, char(136, None)),
            (None, char(5, Some(2))),
            (None, char(10, Some(200))),
        ]
    }

    fn bits(&self) -> Result<u8> {
        let bit = |letter| match letter {
            'm' => Ok(MAKE),
            'r' => Ok(READ),
            'w' => Ok(WRITE),
            _ => Err(Error::new(format!("{:?} is no access to a device", self.access))
                .hint("letters of rwm: read, write, make a node")),
        };
        self.access.chars().try_fold(0, |bits, letter| Ok(bits | bit(letter)?))
    }
}

// The kernel's numbers (<linux/bpf.h>).
pub(crate) const MAKE: u8 = 1;
pub(crate) const READ: u8 = 2;
pub(crate) const WRITE: u8 = 4;

/// What an exception is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Which {
    pub(crate) kind: DeviceKind,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
}

/// A list in the form of version 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// What holds for devices without an exception.
    pub(crate) allow: bool,
    /// What holds the other way round, with the accesses.
    pub(crate) exceptions: BTreeMap<Which, u8>,
}

impl Policy {
    /// Without any rule all is denied.
    pub(crate) fn of(rules: &[DeviceRule]) -> Result<Self> {
        let mut policy = Self::default();
        for rule in rules {
            policy.apply(rule)?;
        }
        Ok(policy)
    }

    fn apply(&mut self, rule: &DeviceRule) -> Result<()> {
        let bits = rule.bits()?;
        if rule.kind == DeviceKind::All {
            *self = Self { allow: rule.allow, exceptions: BTreeMap::new() };
            return Ok(());
        }
        let which = Which { kind: rule.kind, major: rule.major, minor: rule.minor };
        if rule.allow != self.allow {
            *self.exceptions.entry(which).or_default() |= bits;
            return Ok(());
        }
        self.refuse_hole(which, bits)?;
        if let Some(left) = self.exceptions.get_mut(&which) {
            *left &= !bits;
        }
        self.exceptions.retain(|_, bits| *bits != 0);
        Ok(())
    }

    /// Taking one device out of an exception for many cannot be said in version 1,
    /// which would ignore it.
    fn refuse_hole(&self, which: Which, bits: u8) -> Result<()> {
        let wider = [
            Which { major: None, ..which },
            Which { minor: None, ..which },
            Which { major: None, minor: None, ..which },
        ];
        for wide in wider.into_iter().filter(|wide| *wide != which) {
            let of_many = self.exceptions.get(&wide).copied().unwrap_or(0);
            if of_many & bits != 0 {
                return Err(Error::new(format!(
                    "linux.resources.devices: {} cannot be taken out of {}",
                    Line(which, bits),
                    Line(wide, of_many)
                )));
            }
        }
        Ok(())
    }

    /// From `devices.list`, which lists what is allowed; from one that allows all
    /// it does not show what is denied.
    fn parse(list: &str) -> Result<Self> {
        let mut policy = Self::default();
        for line in list.lines() {
            let mut words = line.split([' ', ':']);
            let mut word = || words.next().unwrap_or_default();
            let kind = match word() {
                "b" => DeviceKind::Block,
                "c" => DeviceKind::Char,
                _ => DeviceKind::All,
            };
            let (major, minor) = (word().parse().ok(), word().parse().ok());
            policy.apply(&DeviceRule { allow: true, kind, major, minor, access: word().into() })?;
        }
        Ok(policy)
    }
}

/// `c 1:3 rwm`
struct Line(Which, u8);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Which { kind, major, minor }, bits) = self;
        let letter = match kind {
            DeviceKind::All => "a",
            DeviceKind::Block => "b",
            DeviceKind::Char => "c",
        };
        let number = |n: &Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        write!(f, "{letter} {}:{} ", number(major), number(minor))?;
        let letters = [(READ, "r"), (WRITE, "w"), (MAKE, "m")];
        letters.iter().filter(|(bit, _)| bits & bit != 0).try_for_each(|(_, l)| f.write_str(l))
    }
}

impl Cgroup {
    /// Allows these devices and no others. Who has no right to do so (a user without
    /// root's, or root of a user namespace) needs none: they can make no device nodes.
    pub(crate) fn allow_devices(&self, rules: &[DeviceRule]) -> Result<()> {
        let policy = Policy::of(rules)?;
        let done = match self.v1.as_ref().map(|v1| v1.dir("devices")) {
            Some(Ok(dir)) => write_v1(dir, &policy),
            Some(Err(error)) if self.legacy().is_some() => Err(error),
            _ => filter::attach(&self.dir, &policy),
        };
        done.or_else(|error| match error.errno {
            Some(Errno::EPERM | Errno::EACCES | Errno::ENOSYS) if !privileged() => Ok(()),
            _ => Err(error),
        })
    }
}

/// Whether we are root on the real machine.
pub(crate) fn privileged() -> bool {
    let map = read_to_string("/proc/self/uid_map").unwrap_or_default();
    let all = map.split_whitespace().eq(["0", "0", "4294967295"]);
    Uid::effective().is_root() && all
}

/// Version 1: from what is allowed now to what shall be, without a moment in which
/// a device that stays allowed is denied.
fn write_v1(dir: &Path, policy: &Policy) -> Result<()> {
    let mut now = Policy::parse(&read(dir, "devices.list")?)?;
    // Opened once: these are a dozen lines, for each container.
    let open = |name: &str| {
        let path = dir.join(name);
        File::options().write(true).open(&path).call(|| format!("open({path:?})"))
    };
    let (allowed, denied) = (open("devices.allow")?, open("devices.deny")?);
    let set = |allow: bool, which: Which, bits: u8| {
        let (mut file, name) = if allow { (&allowed, "allow") } else { (&denied, "deny") };
        let line = Line(which, bits).to_string();
        let written = file.write_all(line.as_bytes());
        written.call(|| format!("write({:?}, {line:?})", dir.join(format!("devices.{name}"))))
    };
    if now.allow || policy.allow {
        let all = Which { kind: DeviceKind::All, major: None, minor: None };
        set(policy.allow, all, READ | WRITE | MAKE)?;
        now.exceptions.clear();
    }
    for (which, bits) in &policy.exceptions {
        let missing = bits & !now.exceptions.get(which).copied().unwrap_or(0);
        if missing != 0 {
            set(!policy.allow, *which, missing)?;
        }
    }
    for (which, bits) in &now.exceptions {
        let surplus = bits & !policy.exceptions.get(which).copied().unwrap_or(0);
        if surplus != 0 {
            set(policy.allow, *which, surplus)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let list = "c 1:3 rwm\nb *:* m\nc 136:* rw\n";
        let policy = Policy::parse(list).expect("a list");
        let lines: Vec<_> =
            policy.exceptions.iter().map(|(which, bits)| Line(*which, *bits).to_string()).collect();
        assert_eq!(lines, ["b *:* m", "c 1:3 rwm", "c 136:* rw"]);
        assert!(Policy::parse("a *:* rwm\n").expect("a list").allow);
    }
}
