//! Chapter 1: a process with its own view of the machine.
//!
//! The pages, in reading order:
//!
//! 1. [`namespaces`]: what a process can have its own view of
//! 2. [`gate`]: how a parent and its child talk between clone and execve
//! 3. [`spawn`]: clone3, and the types that keep the order
//! 4. [`idmap`]: who is root in there, and who is that out here
//! 5. [`exec`]: becoming another program
//! 6. [`wait`]: what becomes of it
//! 7. [`join`](mod@join): into the namespaces of a process that runs already
//!
//! All that is unsafe lies in `sys.rs`. The other files are headed *Catalogue*:
//! they are not needed to understand the chapter.

#![deny(unsafe_code)]

pub mod clocks;
pub mod elsewhere;
pub mod error;
pub mod exec;
pub mod gate;
mod hints;
pub mod idmap;
pub mod join;
pub mod namespaces;
pub mod narrate;
pub mod options;
mod search;
pub mod signals;
pub mod spawn;
pub mod steps;
mod subid;
#[allow(unsafe_code)]
mod sys;
pub mod wait;
mod wire;

pub use error::{Context, Error, Result};
pub use exec::Program;
pub use gate::{Gate, Message};
pub use idmap::{IdMaps, IdRange};
pub use join::join;
pub use namespaces::{Namespace, Namespaces, set_hostname};
pub use signals::Signals;
pub use spawn::{Plan, Waiting};
pub use wait::{Child, ExitStatus};
