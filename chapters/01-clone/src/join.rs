//! Joining the namespaces of a process that runs already: what `exec` is made of.

use std::cell::Cell;
use std::convert::Infallible;
use std::os::fd::AsFd;

use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::unistd::Pid;

use crate::error::{Context, Error, Result};
use crate::gate::{Gate, Message};
use crate::namespaces::{Namespace, Namespaces};
use crate::spawn::{Plan, Waiting, become_root};
use crate::{step, sys};

/// Clones a child into the namespaces of `target`, those of `kinds` that are not ours already.
///
/// A PID namespace can only be entered by being born in it, so a helper enters
/// all of them and then makes the child, with CLONE_PARENT: it is *our* child,
/// and the helper can go.
pub fn join<F>(target: Pid, kinds: Namespaces, body: F) -> Result<Waiting>
where
    F: FnOnce(&Gate) -> Result<Infallible>,
{
    // From here on a pid that is used again by somebody else cannot fool us.
    let pidfd = sys::pidfd_open(target).call(|| format!("pidfd_open({target})"))?;
    let kinds = differing(target, kinds)?;
    let enter = || {
        if kinds == Namespaces::NONE {
            return Ok(());
        }
        // ANCHOR: setns
        step!(
            "setns",
            "One call enters all namespaces of the target at once; the user \
             namespace first, since it decides what else is allowed.",
            "ls -l /proc/PID/ns",
            "setns(pidfd of {target}, {kinds})",
            setns(pidfd.as_fd(), CloneFlags::from_bits_retain(kinds.flags() as i32)),
        )
        // ANCHOR_END: setns
    };
    through(&Plan::default(), enter, |gate| {
        if kinds.has(Namespace::User) {
            become_root().call(|| "setresuid(0, 0, 0)")?;
        }
        body(gate)
    })
}

/// Has a helper `enter` where the child shall be born, and then make it.
pub(crate) fn through(
    plan: &Plan<'_>,
    enter: impl FnOnce() -> Result<()>,
    body: impl FnOnce(&Gate) -> Result<Infallible>,
) -> Result<Waiting> {
    let (ours, theirs) = Gate::pair()?;
    let ours = Cell::new(Some(ours));
    let helper = Plan::default().spawn(|own_gate| {
        // Our end, of which the helper has a copy: as long as any is open, the
        // child would wait for a parent that is gone.
        drop(ours.take());
        // Until it has become another program, nobody in there may trace it
        // and get at what it still holds of the outside (CVE-2016-9962).
        nix::sys::prctl::set_dumpable(false).call(|| "prctl(PR_SET_DUMPABLE, 0)")?;
        enter()?;
        // Its last act: a child that is not its own.
        // ANCHOR: make_child
        match plan.clone3(0, libc::CLONE_PARENT as u64)? {
            sys::Side::Parent { pid, pidfd } => {
                own_gate.send(&Message::Child(pid.as_raw(), pidfd))?;
                sys::exit_now(0)
            }
            sys::Side::Child => plan.child(&theirs, body),
        }
        // ANCHOR_END: make_child
    })?;
    drop(theirs);
    let (helper, made) = helper.follow(|_| Ok(()))?;
    helper.wait()?;
    match (made, ours.take()) {
        (Some((pid, pidfd)), Some(ours)) => Ok(Waiting::new(Pid::from_raw(pid), pidfd, ours)),
        _ => Err(Error::new("the helper made no child")),
    }
}

/// Entering one's own user namespace is EINVAL, and any other of one's own is for nothing.
fn differing(target: Pid, kinds: Namespaces) -> Result<Namespaces> {
    // ANCHOR: differing
    let mut differing = Namespaces::NONE;
    for kind in kinds.kinds() {
        let path = || format!("stat(/proc/{target}/ns/{})", kind.file());
        if kind.of(target).call(path)? != kind.of("self").call(path)? {
            differing = differing.with(kind);
        }
    }
    // ANCHOR_END: differing
    Ok(differing)
}
