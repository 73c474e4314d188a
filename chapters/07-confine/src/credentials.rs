//! The whole change of credentials, in one order.
//!
//! Each of these takes something away that another one needs, so there is
//! little choice:
//!
//! 1. the labels, while the files are still ours to write;
//! 2. the bounding set, which takes a capability;
//! 3. groups, group and user, keeping the capabilities;
//! 4. with no_new_privs: the final capabilities, no_new_privs, the filter;
//!    without: the filter, which then takes CAP_SYS_ADMIN, and after it the
//!    final capabilities.

use ch01_clone::{Context, Error, Gate, Result, step};
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use oci_spec::runtime::{LinuxNamespaceType, Process, Spec, User};
use rustix::thread::{CapabilitySet, set_keep_capabilities, set_no_new_privs};

use crate::capabilities::{self, Sets, errno, names};
use crate::labels::Labels;
use crate::seccomp::Filter;

/// The change, ready to be made by the child, with its gate.
pub type Prepared = Box<dyn FnOnce(&Gate) -> Result<()>>;

/// Prepares the change that a process of a container asks for, before the
/// clone. What it returns is called by the child, last of all before its execve.
///
/// Capabilities that cannot be granted are left out with a warning, as the
/// specification has it. All else that cannot be honoured is an error.
pub fn prepare(spec: &Spec, process: &Process) -> Result<Prepared> {
    let filter = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let change = Change {
        labels: Labels::prepare(process)?,
        capabilities: granted(spec, process)?,
        ids: Ids::of(process.user()),
        no_new_privs: process.no_new_privileges() == Some(true),
        filter: filter.map(Filter::compile).transpose()?,
    };
    Ok(Box::new(move |gate| change.make(gate)))
}

/// All that the child needs, made before the clone.
struct Change {
    labels: Option<Labels>,
    /// `None`: what the change of the user leaves, and no less.
    capabilities: Option<Sets>,
    ids: Ids,
    no_new_privs: bool,
    filter: Option<Filter>,
}

impl Change {
    fn make(&self, gate: &Gate) -> Result<()> {
        // ANCHOR: make
        self.labels.as_ref().map_or(Ok(()), Labels::set)?;
        self.capabilities.as_ref().map_or(Ok(()), Sets::limit)?;
        self.ids.become_them()?;
        let capabilities = || match &self.capabilities {
            Some(sets) => sets.take_on(),
            None if self.ids.uid.is_root() => Ok(()),
            None => capabilities::lay_down().call(|| "capset"),
        };
        let filter = || self.filter.as_ref().map_or(Ok(()), |filter| filter.load(gate));
        match self.no_new_privs {
            true => {
                capabilities()?;
                no_new_privs()?;
                filter()
            }
            false => {
                filter()?;
                capabilities()
            }
        }
        // ANCHOR_END: make
    }
}

/// The capabilities that a process can be given, of those that it asks for.
fn granted(spec: &Spec, process: &Process) -> Result<Option<Sets>> {
    let Some(config) = process.capabilities() else { return Ok(None) };
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let mut all = namespaces.into_iter().flatten();
    let ours = match all.any(|namespace| namespace.typ() == LinuxNamespaceType::User) {
        // In a user namespace of its own it begins with all there are.
        true => CapabilitySet::all(),
        false => capabilities::ours()?,
    };
    let asked = Sets::asked(config);
    let granted = asked.granted(ours);
    let lost = asked.more_than(granted);
    if !lost.is_empty() {
        eprintln!("warning: capabilities that cannot be granted: {}", names(lost));
    }
    Ok(Some(granted))
}

/// Who the program runs as.
struct Ids {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Ids {
    fn of(user: &User) -> Self {
        let groups = user.additional_gids().iter().flatten();
        Self {
            uid: Uid::from_raw(user.uid()),
            gid: Gid::from_raw(user.gid()),
            groups: groups.copied().map(Gid::from_raw).collect(),
        }
    }

    fn become_them(&self) -> Result<()> {
        let Self { uid, gid, groups } = self;
        step!(
            "credentials",
            "Groups first, then the group, then the user: who has stopped being root \
             can change none of them any more.",
            "grep -E '^(Uid|Gid|Groups)' /proc/PID/status",
            "setgroups({groups:?}), setresgid({gid}), setresuid({uid})",
            self.change().map_err(explain),
        )
    }

    fn change(&self) -> Result<()> {
        let Self { uid, gid, groups } = self;
        match setgroups(groups) {
            // One id is mapped, so there are no groups to change to.
            Err(Errno::EPERM) if groups.is_empty() => {}
            done => done.call(|| format!("setgroups({groups:?})"))?,
        }
        setresgid(*gid, *gid, *gid).call(|| format!("setresgid({gid})"))?;
        // ANCHOR: keep
        // When root becomes somebody else, the kernel takes all capabilities.
        // They are needed a moment longer.
        let keep = |on| set_keep_capabilities(on).map_err(errno).call(|| "prctl(PR_SET_KEEPCAPS)");
        keep(true)?;
        setresuid(*uid, *uid, *uid).call(|| format!("setresuid({uid})"))?;
        keep(false)?;
        capabilities::raise().call(|| "capset")
        // ANCHOR_END: keep
    }
}

/// In a user namespace an id can be missing.
fn explain(error: Error) -> Error {
    match error.errno {
        Some(Errno::EINVAL | Errno::EPERM) => error.hint(
            "this id does not exist in here: more than one takes a range in /etc/subuid and \
             /etc/subgid, and newuidmap (see `dockster doctor`)",
        ),
        _ => error,
    }
}

fn no_new_privs() -> Result<()> {
    step!(
        "no_new_privs",
        "From here on no execve gives more than there is: set-user-ID and file \
         capabilities are ignored. So the kernel lets anybody load a filter.",
        "grep NoNewPrivs /proc/PID/status",
        "prctl(PR_SET_NO_NEW_PRIVS, 1)",
        set_no_new_privs(true).map_err(errno),
    )
}
