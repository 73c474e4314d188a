//! Catalogue: not needed to understand the chapter.
//!
//! Who the program runs as.
//!
//! The whole change of credentials is one function, so that its order is
//! written in one place. This chapter's does groups and ids; what chapter 7
//! adds (capabilities, no_new_privs, seccomp, labels) is refused here, field by
//! field, rather than ignored.

use ch01_clone::{Error, Gate, Result, step};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use oci_spec::runtime::{Process, Spec};

/// The change itself: called by the child, last of all before its execve, with its gate.
pub type Change = Box<dyn FnOnce(&Gate) -> Result<()>>;

/// Prepares the change that a process of a container asks for, before the clone.
pub type Credentials = fn(&Spec, &Process) -> Result<Change>;

/// Prepares the change of credentials that a configuration asks for. It is
/// made before the clone, and what it returns is called by the child, last of all.
pub fn prepare(spec: &Spec, process: &Process) -> Result<Change> {
    let left_out = [
        ("process.capabilities", process.capabilities().is_some()),
        ("process.noNewPrivileges", process.no_new_privileges() == Some(true)),
        ("process.apparmorProfile", process.apparmor_profile().is_some()),
        ("process.selinuxLabel", process.selinux_label().is_some()),
        ("linux.seccomp", spec.linux().as_ref().is_some_and(|linux| linux.seccomp().is_some())),
    ];
    if let Some((field, _)) = left_out.iter().find(|(_, asked)| *asked) {
        return Err(Error::new(format!("{field} takes chapter 7, which is not there yet")));
    }
    let (uid, gid) = (process.user().uid(), process.user().gid());
    let groups = process.user().additional_gids().clone().unwrap_or_default();
    let groups: Vec<_> = groups.into_iter().map(Gid::from_raw).collect();
    Ok(Box::new(move |_| {
        step!(
            "credentials",
            "Groups first, then the group, then the user: who has stopped being root \
             can change none of them any more.",
            "grep -E '^(Uid|Gid|Groups)' /proc/PID/status",
            "setgroups({groups:?}), setresgid({gid}), setresuid({uid})",
            change(Uid::from_raw(uid), Gid::from_raw(gid), &groups).map_err(explain),
        )
    }))
}

fn change(uid: Uid, gid: Gid, groups: &[Gid]) -> Result<(), Error> {
    let os = |call: &str| {
        let call = call.to_owned();
        move |errno| Error::os(call, errno)
    };
    match setgroups(groups) {
        // One id is mapped, so there are no groups to change to.
        Err(nix::errno::Errno::EPERM) if groups.is_empty() => {}
        done => done.map_err(os(&format!("setgroups({groups:?})")))?,
    }
    setresgid(gid, gid, gid).map_err(os(&format!("setresgid({gid})")))?;
    setresuid(uid, uid, uid).map_err(os(&format!("setresuid({uid})")))
}

fn explain(error: Error) -> Error {
    match error.errno {
        Some(nix::errno::Errno::EINVAL | nix::errno::Errno::EPERM) => error.hint(
            "this id does not exist in here: more than one takes a range in /etc/subuid and \
             /etc/subgid, and newuidmap (see `dockster doctor`)",
        ),
        _ => error,
    }
}
