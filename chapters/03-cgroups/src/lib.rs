//! Chapter 3: a process with its share of the machine.
//!
//! Namespaces decide what a process *sees*; a **cgroup** decides what it *gets*.
//! A cgroup is a directory of a file system, `cgroup2`, that is mounted at
//! `/sys/fs/cgroup`: `mkdir` makes one, a pid written to its `cgroup.procs` goes
//! in with all its future children, numbers written to `memory.max`, `cpu.max`,
//! `pids.max` limit what all of them use *together*, and `rmdir` removes it.
//!
//! ```text
//! /sys/fs/cgroup/                  the root: the whole machine
//! ├── cgroup.subtree_control       +memory +pids: children are counted in these
//! └── dockster/                    our parent: holds cgroups, never processes
//!     ├── cgroup.subtree_control   +memory +pids
//!     └── 4f1c9a…/                 one container
//!         ├── cgroup.procs         who is in it
//!         ├── memory.max           64 MiB, then reclaim, then the OOM killer
//!         ├── memory.events        oom_kill 1: it happened
//!         └── cgroup.kill          1: SIGKILL to all of them at once
//! ```
//!
//! In reading order: [`limits`] says which number goes into which file, [`hierarchy`]
//! where we may make a cgroup, `subtree` how the controllers get there, and
//! [`cgroup`] is the life of one. All else is catalogue: [`stats`] is what a cgroup tells
//! about itself, `interface` and `tree` are the hands that read, write, wait and remove; what
//! only an OCI runtime needs is in [`more`], [`devices`], [`oom`], `below`, `place` and `unit`.
//!
//! A life:
//!
//! ```no_run
//! use ch03_cgroups::{Hierarchy, Limits};
//! # fn main() -> ch01_clone::Result<()> {
//! let cgroup = Hierarchy::probe()?.cgroup("dockster", "4f1c9a")?; // a place, nothing made
//! // …its paths are recorded here: whatever is made is recorded before it is made…
//! cgroup.create(&Limits { memory: Some(64 << 20), pids: Some(32), ..Limits::default() })?;
//! let into = cgroup.dir()?; // for CLONE_INTO_CGROUP; `None` on a host without cgroup2
//! # let child = nix::unistd::getpid();
//! cgroup.add_cloned(child)?; // the v1 controllers, where a host still has them
//! // …the child lives and ends…
//! println!("killed for want of memory: {}", cgroup.events()?.oom_kills);
//! cgroup.kill()?;
//! cgroup.remove_and_prune()
//! # }
//! ```
//!
//! Manual: cgroups(7), and the kernel's Documentation/admin-guide/cgroup-v2.rst.

#![deny(unsafe_code)]

mod below;
pub mod cgroup;
pub mod devices;
mod entrance;
mod filter;
pub mod hierarchy;
mod interface;
pub mod limits;
pub mod more;
mod mounts;
pub mod oom;
pub mod options;
mod place;
mod scales;
pub mod scope;
pub mod sizes;
pub mod stats;
mod subtree;
#[allow(unsafe_code)]
mod sys;
mod tree;
mod unit;
mod v1;

pub use cgroup::Cgroup;
pub use devices::{DeviceKind, DeviceRule};
pub use entrance::Entrance;
pub use hierarchy::{Hierarchy, Kind};
pub use limits::Limits;
pub use more::{DeviceWeight, More};
pub use oom::OomWatch;
pub use options::LimitOptions;
pub use scales::DeviceLimit;
pub use stats::{Events, Pressure, Stats};
