//! Chapter 7: what a container may not do.
//!
//! The pages, in reading order:
//!
//! 1. [`credentials`]: the whole change, in one order
//! 2. [`capabilities`]: the pieces that root's power is cut into
//! 3. [`profile`]: what a configuration says about system calls
//! 4. [`seccomp`]: from there to a filter
//! 5. [`bpf`]: the few instructions that such a filter is made of
//! 6. [`labels`]: AppArmor and SELinux
//!
//! All that is unsafe lies in `sys.rs`. The other files are headed *Catalogue*:
//! they are not needed to understand the chapter.

#![deny(unsafe_code)]

pub mod abi;
pub mod bpf;
pub mod capabilities;
pub mod credentials;
pub mod labels;
pub mod profile;
pub mod seccomp;
#[allow(unsafe_code)]
mod sys;

pub use abi::Abi;
pub use capabilities::Sets;
pub use seccomp::Filter;
