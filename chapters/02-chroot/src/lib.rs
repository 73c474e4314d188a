//! Chapter 2: a root file system of its own.
//!
//! The pages, in reading order:
//!
//! 1. [`root`]: the one way to reach a path inside
//! 2. [`mount`](mod@mount): mounts, made first and attached after
//! 3. [`rootfs`]: from a directory on the host to `/`
//! 4. [`devices`]: /dev, and the mounts that every container has
//! 5. [`mask`](mod@mask): what is hidden, and what can only be read

#![deny(unsafe_code)]

pub mod devices;
mod hints;
pub mod mask;
pub mod mount;
pub mod options;
pub mod root;
pub mod rootfs;
#[allow(unsafe_code)]
mod sys;

pub use mount::{Attributes, Mount, Source};
pub use root::Root;
pub use rootfs::{Rootfs, Tree, pivot};
