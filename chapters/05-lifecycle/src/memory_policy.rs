//! Catalogue: not needed to understand the chapter.
//!
//! On which nodes of a machine with several memories (NUMA) a program gets its pages:
//! set_mempolicy(2). Threads and programs that come from it inherit that.
//!
//! Specification: config-linux.md, "Memory policy". The types of oci-spec do not have it
//! yet, so it is read here.

use ch01_clone::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sys;

/// `linux.memoryPolicy` of a configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPolicy {
    /// MPOL_* of set_mempolicy(2), with its MPOL_F_*.
    mode: i32,
    /// The nodes as a mask, 64 a word; empty: none were named.
    nodes: Vec<u64>,
}

/// The kernel has no more on any machine (CONFIG_NODES_SHIFT is 10 at most).
const MOST_NODES: usize = 1024;

const MODES: [(&str, i32); 7] = [
    ("MPOL_DEFAULT", libc::MPOL_DEFAULT),
    ("MPOL_PREFERRED", libc::MPOL_PREFERRED),
    ("MPOL_BIND", libc::MPOL_BIND),
    ("MPOL_INTERLEAVE", libc::MPOL_INTERLEAVE),
    ("MPOL_LOCAL", libc::MPOL_LOCAL),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

const FLAGS: [(&str, i32); 3] = [
    ("MPOL_F_NUMA_BALANCING", libc::MPOL_F_NUMA_BALANCING),
    ("MPOL_F_RELATIVE_NODES", libc::MPOL_F_RELATIVE_NODES),
    ("MPOL_F_STATIC_NODES", libc::MPOL_F_STATIC_NODES),
];

/// As it stands in config.json.
#[derive(Deserialize)]
struct Section {
    mode: String,
    nodes: Option<String>,
    flags: Option<Vec<String>>,
}

impl MemoryPolicy {
    /// What a configuration says of it, if it does.
    pub(crate) fn of(config: &Value) -> Result<Option<Self>> {
        let section = config.pointer("/linux/memoryPolicy");
        let Some(section) = section.filter(|section| !section.is_null()) else { return Ok(None) };
        let Section { mode, nodes, flags } = Section::deserialize(section)
            .map_err(|error| Error::new(format!("linux.memoryPolicy: {error}")))?;
        let mut number = number("mode", &MODES, &mode)?;
        for flag in flags.iter().flatten() {
            number |= self::number("flags", &FLAGS, flag)?;
        }
        let nodes = nodes.filter(|nodes| !nodes.trim().is_empty());
        let nodes = nodes.map_or(Ok(Vec::new()), |nodes| mask(&nodes))?;
        Ok(Some(Self { mode: number, nodes }))
    }

    /// From now on this process gets its pages so.
    pub(crate) fn apply(&self) -> Result<()> {
        let Self { mode, nodes } = self;
        sys::set_mempolicy(*mode, nodes)
            .call(|| format!("linux.memoryPolicy: set_mempolicy({mode:#x}, {nodes:x?})"))
    }
}

fn number(field: &str, known: &[(&str, i32)], name: &str) -> Result<i32> {
    let found = known.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    found.ok_or_else(|| Error::new(format!("linux.memoryPolicy.{field}: {name:?} is not known")))
}

/// `0-3,7` as a mask.
fn mask(nodes: &str) -> Result<Vec<u64>> {
    let invalid = || Error::new(format!("linux.memoryPolicy.nodes: {nodes:?} is no list of nodes"));
    let mut mask = vec![0; MOST_NODES / 64];
    for range in nodes.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let first: usize = first.parse().map_err(|_| invalid())?;
        let last: usize = last.parse().map_err(|_| invalid())?;
        if first > last || last >= MOST_NODES {
            return Err(invalid());
        }
        (first..=last).for_each(|node| mask[node / 64] |= 1 << (node % 64));
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(section: Value) -> Result<Option<MemoryPolicy>> {
        MemoryPolicy::of(&json!({"linux": {"memoryPolicy": section}}))
    }

    #[test]
    fn a_policy_in_the_kernels_numbers() {
        let flags = ["MPOL_F_STATIC_NODES", "MPOL_F_NUMA_BALANCING"];
        let policy = read(json!({"mode": "MPOL_BIND", "nodes": "0-2, 64", "flags": flags}));
        let policy = policy.unwrap().unwrap();
        assert_eq!((policy.mode, &policy.nodes[..3]), (2 | 1 << 15 | 1 << 13, &[7, 1, 0][..]));
        let local = read(json!({"mode": "MPOL_LOCAL", "nodes": "", "flags": null}));
        assert_eq!(local, Ok(Some(MemoryPolicy { mode: 4, nodes: Vec::new() })));
        assert_eq!(read(Value::Null), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (section, why) in [
            (json!({"nodes": "0"}), "mode"),
            (json!({"mode": "MPOL_SOMEHOW"}), "MPOL_SOMEHOW"),
            (json!({"mode": "MPOL_BIND", "nodes": "3-1"}), "3-1"),
            (json!({"mode": "MPOL_BIND", "nodes": "1024"}), "1024"),
            (json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F"]}), "MPOL_F"),
        ] {
            let error = read(section).unwrap_err();
            assert!(error.call.contains(why), "{error}");
        }
    }
}
