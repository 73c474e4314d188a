//! The whole change of credentials, in one order.

use ch01_clone::Result;
use oci_spec::runtime::{Process, Spec};

/// Prepares the change that a process of a container asks for, before the
/// clone. What it returns is called by the child, last of all before its execve.
pub fn prepare(_spec: &Spec, _process: &Process) -> Result<Box<dyn FnOnce() -> Result<()>>> {
    let uid = _process.user().uid();
    let _ = uid;
    Ok(Box::new(|| Ok(())))
}
