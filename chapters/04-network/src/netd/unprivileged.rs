//! Catalogue: not needed to understand the chapter.
//!
//! Who reads what strangers send is nobody, and can do nothing.

use std::fs;
use std::io;

use ch01_clone::{Context, Result};
use rustix::process::{DumpableBehavior, Gid, Resource, Rlimit, Uid};
use rustix::process::{getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{self, CapabilitySet, CapabilitySets};

/// The kernel's and everybody's number for nobody and nogroup.
const NOBODY: u32 = 65534;

/// Gives up all that this process may do; it has one thread. It keeps its ids where the
/// user namespace has no other: there is nobody to become, but no capability is left.
pub(super) fn become_nobody() -> Result<()> {
    let may = thread::capabilities(None).map_err(io::Error::from).call(|| "capget")?.effective;
    if may.contains(CapabilitySet::SETPCAP) {
        let all = (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number));
        // Those that this kernel does not have come last, and fail.
        all.map_while(|one| thread::remove_capability_from_bounding_set(one).ok()).for_each(drop);
    }
    if may.contains(CapabilitySet::SETUID | CapabilitySet::SETGID) && is_mapped()? {
        change_ids().map_err(io::Error::from).call(|| format!("setresuid({NOBODY})"))?;
    }
    give_up().map_err(io::Error::from).call(|| "capset(none)")
}

fn is_mapped() -> Result<bool> {
    let mut mapped = true;
    for file in ["/proc/self/uid_map", "/proc/self/gid_map"] {
        let map = fs::read_to_string(file).call(|| format!("read({file})"))?;
        // "0 1000 1": the first id inside, the first outside, and how many.
        mapped &= map.lines().any(|line| {
            let mut numbers = line.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
            let (first, _, count) = (numbers.next(), numbers.next(), numbers.next());
            let (first, count) = (first.unwrap_or(0), count.unwrap_or(0));
            (first..first + count).contains(&NOBODY.into())
        });
    }
    Ok(mapped)
}

fn change_ids() -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    thread::set_thread_groups(&[])?;
    thread::set_thread_res_gid(gid, gid, gid)?;
    thread::set_thread_res_uid(uid, uid, uid)?;
    // Others who are nobody neither trace it nor take its descriptors.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

fn give_up() -> rustix::io::Result<()> {
    thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    thread::set_capabilities(
        None,
        CapabilitySets { effective: none, permitted: none, inheritable: none },
    )?;
    thread::set_no_new_privs(true)
}

/// As many descriptors as may be: each connection that is passed on has two.
pub(super) fn many_descriptors() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, most).map_err(io::Error::from).call(|| "setrlimit(NOFILE)")
}
