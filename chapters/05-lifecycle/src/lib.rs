//! Chapter 5: the life of a container.
//!
//! In reading order:
//!
//! 1. [`state`]: what is known of a container, on disk, written before it is made
//! 2. [`runtime`]: making one, and `door`, the second gate, at which its program waits
//! 3. [`container`]: what can be done with one that exists: start, kill, delete
//! 4. [`incarnation`]: one process, and no later one with its pid
//! 5. `init`: PID 1 for a program that does not know how to be one
//! 6. [`stop`]: first asked, then made to
//!
//! The other files are headed *Catalogue*: they are not needed to understand
//! the chapter. Those are the configuration ([`bundle`], [`fields`](mod@fields)), the way
//! from it to a running process ([`launch`](mod@launch), `inside`), one more process in a
//! container ([`exec`](mod@exec)), terminals ([`pty`]) and the foreground ([`relay`](mod@relay)).

#![deny(unsafe_code)]

pub mod bundle;
pub mod cli;
pub mod container;
pub mod credentials;
mod door;
pub mod exec;
pub mod fields;
pub mod given;
mod hooks;
pub mod incarnation;
mod init;
mod inside;
pub mod launch;
pub mod listen;
pub mod memory_policy;
mod more;
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
pub mod stop;
mod supervisor;
#[allow(unsafe_code)]
mod sys;

pub use bundle::Bundle;
pub use container::Container;
pub use credentials::{Change, Credentials};
pub use exec::{Exec, exec};
pub use given::CreateOptions;
pub use incarnation::Incarnation;
pub use launch::{Launch, Started, Stdio, launch};
pub use relay::relay;
pub use resources::{limits, limits_of};
pub use runtime::Runtime;
pub use state::{State, Status};
