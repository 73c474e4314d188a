//! Catalogue: not needed to understand the chapter.
//!
//! What to try when a call fails, and how its flags are spelled.

use std::fmt;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::error::Error;
use crate::namespaces::{Namespace, Namespaces};
use crate::wait::ExitStatus;

/// What to try when the kernel makes no such child.
pub(crate) fn clone3(error: Error, namespaces: Namespaces) -> Error {
    use Errno::{EINVAL, ENOSPC, EPERM, EUSERS};
    let user = namespaces.has(Namespace::User);
    match error.errno {
        Some(EPERM) if user => {
            error.hint("user namespaces are not allowed here: `dockster doctor` says why")
        }
        Some(EPERM) => {
            error.hint("without a user namespace this takes root: try with one, or as root")
        }
        Some(ENOSPC | EUSERS) => {
            error.hint("too many namespaces: see /proc/sys/user/max_*_namespaces")
        }
        Some(EINVAL) => error.hint("this kernel lacks one of the namespaces: see /proc/self/ns"),
        _ => error,
    }
}

/// What to try when the kernel does not start a program.
pub(crate) fn execve(error: Error) -> Error {
    match error.errno {
        Some(Errno::ENOENT) => {
            error.hint("the file is there, but not the interpreter that it names")
        }
        Some(Errno::ENOEXEC) => {
            error.hint("made for another architecture, or a script without a #! line")
        }
        Some(Errno::E2BIG) => {
            error.hint("arguments and environment are larger than the kernel takes")
        }
        _ => error,
    }
}

/// As clone(2) spells it: `CLONE_NEWPID|CLONE_NEWUTS`, or `0`.
impl fmt::Display for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self
            .kinds()
            .map(|kind| match kind {
                Namespace::Mount => "CLONE_NEWNS".to_owned(),
                other => format!("CLONE_NEW{}", other.file().to_uppercase()),
            })
            .collect();
        f.write_str(if names.is_empty() { "0" } else { "" })?;
        f.write_str(&names.join("|"))
    }
}

impl fmt::Debug for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ExitStatus::Exited(status) => write!(f, "exit status {status}"),
            ExitStatus::Signaled(number) => match Signal::try_from(number) {
                Ok(signal) => write!(f, "killed by {signal}"),
                Err(_) => write!(f, "killed by signal {number}"),
            },
        }
    }
}
