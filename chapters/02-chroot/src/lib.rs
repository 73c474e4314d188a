//! Chapter 2: a root file system of its own.
//!
//! The pages, in reading order:
//!
//! 1. [`root`]: the one way to reach a path inside
//! 2. [`mount`](mod@mount): mounts, made first and attached after
//! 3. [`rootfs`]: from a directory on the host to `/`
//! 4. [`devices`]: /dev, and the mounts that every container has
//! 5. [`mask`](mod@mask): what is hidden, and what can only be read
//!
//! The other files are headed *Catalogue*: they are not needed to understand
//! the chapter.

#![deny(unsafe_code)]

mod cgroups;
mod copy_up;
pub mod devices;
pub mod extra;
mod hints;
pub mod mask;
pub mod more;
pub mod mount;
pub mod no_pivot;
pub mod nodes;
pub mod options;
mod place;
pub mod root;
pub mod rootfs;
#[allow(unsafe_code)]
mod sys;

pub use mount::{Attributes, Mount, Source};
pub use root::Root;
pub use rootfs::{Rootfs, Tree, pivot};
