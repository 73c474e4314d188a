//! Catalogue: not needed to understand the chapter.
//!
//! What to try when a mount is refused.

use ch01_clone::Error;

use crate::mount::Source;

pub(crate) fn mount(source: &Source, error: Error) -> Error {
    use nix::errno::Errno::{EINVAL, ENOENT, EPERM};
    match (source, error.errno) {
        (Source::New { kind, .. }, Some(EPERM)) if kind == "proc" => error.hint(
            "in a user namespace it takes a PID namespace of its own (so no --no-pid), and \
                 a /proc outside that is whole: a container that hides parts of its own cannot \
                 hold another one",
        ),
        (Source::New { kind, .. }, Some(EPERM)) if kind == "sysfs" => error.hint(
            "in a user namespace it takes a network namespace of its own (so no --no-net); or, \
             in a config.json, a recursive read-only bind of /sys instead",
        ),
        (Source::New { kind, .. }, Some(EINVAL))
            if kind == "devpts" && error.call.contains("Invalid gid") =>
        {
            error.hint("the user namespace maps no such group: leave the gid out")
        }
        (Source::New { kind, .. }, Some(EPERM)) if kind == "mqueue" => {
            error.hint("in a user namespace it takes an IPC namespace of its own (so no --no-ipc)")
        }
        (Source::Bind(path), Some(ENOENT)) if !path.exists() => {
            error.hint("the source of a bind has to exist on the host")
        }
        _ => error,
    }
}
