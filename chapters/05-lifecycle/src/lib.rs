//! Chapter 5: the life of a container.
//!
//! The pages, in reading order:
//!
//! 1. [`bundle`]: what a container shall be: a directory with a config.json
//! 2. [`state`]: what is known of it, on disk, written before it is made
//! 3. [`launch`](mod@launch): from a configuration to a running process
//! 4. [`runtime`] and [`container`]: create, start, kill, delete: the verbs of a life
//! 5. [`exec`](mod@exec): one more process in it
//! 6. [`pty`]: a terminal of its own
//! 7. [`relay`](mod@relay): in the foreground, until it ends
//! 8. [`credentials`]: who it runs as
//!
//! The other files are headed *Catalogue*: they are not needed to understand
//! the chapter.

#![deny(unsafe_code)]

pub mod bundle;
pub mod cli;
pub mod container;
pub mod credentials;
mod door;
pub mod exec;
pub mod fields;
mod hooks;
pub mod incarnation;
mod inside;
pub mod launch;
pub mod mounts;
mod namespaces;
pub mod protect;
pub mod pty;
pub mod relay;
pub mod resources;
pub mod runtime;
mod settings;
pub mod state;
pub mod statistics;
#[allow(unsafe_code)]
mod sys;

pub use bundle::Bundle;
pub use container::Container;
pub use credentials::{Change, Credentials};
pub use exec::{Exec, exec};
pub use incarnation::Incarnation;
pub use launch::{Launch, Started, Stdio, launch};
pub use relay::relay;
pub use resources::{limits, limits_of};
pub use runtime::{CreateOptions, Runtime};
pub use state::{State, Status};
