//! Chapter 5: the life of a container.
//!
//! What stands here is the beginning of that chapter, and is used as it is:
//!
//! 1. [`record`]: what is known of a container, written before it exists
//! 2. [`launch`](mod@launch): from an OCI configuration to a running process
//! 3. [`pty`]: a terminal of its own
//! 4. [`relay`](mod@relay): in the foreground, until it ends
//! 5. [`credentials`]: who it runs as

#![deny(unsafe_code)]

pub mod credentials;
mod inside;
pub mod launch;
pub mod mounts;
pub mod pty;
pub mod record;
pub mod relay;
mod resources;
#[allow(unsafe_code)]
mod sys;

pub use launch::{Launch, Started, Stdio, launch};
pub use record::{Claim, Incarnation, Record, Status};
pub use relay::relay;
pub use resources::limits;
