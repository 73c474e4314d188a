//! Capabilities: the pieces that root's power is cut into (capabilities(7)).
//!
//! A process has five sets of them:
//!
//! | set | what it is |
//! |---|---|
//! | effective | what the kernel looks at |
//! | permitted | what it may make effective |
//! | inheritable | what a program file may ask for, of what is here |
//! | ambient | what stays at an execve of an ordinary program |
//! | bounding | what can never be had again, once it is out of it |
//!
//! At an execve root gets all that is left in its bounding set, and anybody else
//! what is ambient. So it is the bounding set that limits root in a container.

use ch01_clone::{Context, Result, step};
use nix::errno::Errno;
use oci_spec::runtime::{Capabilities, LinuxCapabilities};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// The five sets that a process shall have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sets {
    /// What the kernel looks at.
    pub effective: CapabilitySet,
    /// What may become effective.
    pub permitted: CapabilitySet,
    /// What a program file may ask for.
    pub inheritable: CapabilitySet,
    /// What stays at an execve.
    pub ambient: CapabilitySet,
    /// What can be had at all.
    pub bounding: CapabilitySet,
}

impl Sets {
    /// The sets that a configuration asks for.
    ///
    /// Only what it says is inheritable: with more, a program file with
    /// capabilities of its own would get them for a user who is not root
    /// (CVE-2022-24769).
    pub fn asked(config: &LinuxCapabilities) -> Self {
        Self {
            effective: set(config.effective()),
            permitted: set(config.permitted()),
            inheritable: set(config.inheritable()),
            ambient: set(config.ambient()),
            bounding: set(config.bounding()),
        }
    }

    /// What can be had of them by a process that has `ours`. The kernel would
    /// refuse all because of one that is too many: effective is a part of
    /// permitted, and ambient of both permitted and inheritable.
    #[must_use]
    pub fn granted(self, ours: CapabilitySet) -> Self {
        let permitted = self.permitted & ours;
        let inheritable = self.inheritable & ours;
        Self {
            effective: self.effective & permitted,
            ambient: self.ambient & permitted & inheritable,
            permitted,
            inheritable,
            bounding: self.bounding,
        }
    }

    /// What one of these sets has beyond that of `other`. Not of the bounding set, which only
    /// takes away; nor of the ambient one, which follows from the others.
    pub fn more_than(self, other: Self) -> CapabilitySet {
        (self.effective - other.effective)
            | (self.permitted - other.permitted)
            | (self.inheritable - other.inheritable)
    }

    /// Takes all but `bounding` out of the bounding set. Takes CAP_SETPCAP.
    pub fn limit(&self) -> Result<()> {
        let keep = names(self.bounding);
        step!(
            "bounding-set",
            "What is taken out of the bounding set cannot come back, not even by a program \
             that is owned by root and set-user-ID. It comes before the change of the \
             user, since it takes a capability itself.",
            "grep CapBnd /proc/PID/status",
            "prctl(PR_CAPBSET_DROP, each but {keep})",
            drop_all_but(self.bounding),
        )
    }

    /// Takes on the other four sets.
    pub fn take_on(&self) -> Result<()> {
        let (permitted, ambient) = (names(self.permitted), names(self.ambient));
        step!(
            "capabilities",
            "The change of the user needed capabilities. Now only those are left that the \
             configuration grants.",
            "grep Cap /proc/PID/status",
            "capset({permitted}), prctl(PR_CAP_AMBIENT, {ambient})",
            self.set_four(),
        )
    }

    fn set_four(&self) -> Result<(), Errno> {
        let Self { effective, permitted, inheritable, ambient, .. } = *self;
        clear_ambient_capability_set().map_err(errno)?;
        let sets = CapabilitySets { effective, permitted, inheritable };
        set_capabilities(None, sets).map_err(errno)?;
        let raise = |one| configure_capability_in_ambient_set(one, true);
        ambient.iter().try_for_each(raise).map_err(errno)
    }
}

/// What this process may have.
pub fn ours() -> Result<CapabilitySet> {
    Ok(capabilities(None).map_err(errno).call(|| "capget")?.permitted)
}

/// Makes all effective that is permitted: the change of the user from root to
/// another has emptied the effective set.
pub(crate) fn raise() -> Result<(), Errno> {
    let sets = capabilities(None).map_err(errno)?;
    set_capabilities(None, CapabilitySets { effective: sets.permitted, ..sets }).map_err(errno)
}

/// What was kept over the change of the user to another than root goes now.
pub(crate) fn lay_down() -> Result<(), Errno> {
    let (effective, permitted) = (CapabilitySet::empty(), CapabilitySet::empty());
    let sets = capabilities(None).map_err(errno)?;
    set_capabilities(None, CapabilitySets { effective, permitted, ..sets }).map_err(errno)
}

fn drop_all_but(keep: CapabilitySet) -> Result<(), Errno> {
    let all = (0..64).map(|number| CapabilitySet::from_bits_retain(1 << number));
    for one in all.filter(|one| !keep.contains(*one)) {
        match remove_capability_from_bounding_set(one).map_err(errno) {
            // This kernel has no more.
            Err(Errno::EINVAL) => break,
            // Without CAP_SETPCAP there is nothing to do where it is gone already.
            Err(Errno::EPERM) if capability_is_in_bounding_set(one) == Ok(false) => {}
            done => done?,
        }
    }
    Ok(())
}

fn set(names: &Option<Capabilities>) -> CapabilitySet {
    let number = |name: &oci_spec::runtime::Capability| CapabilitySet::from_name(&name.to_string());
    names.iter().flatten().filter_map(number).collect()
}

/// The names in a set, as capabilities(7) writes them.
pub fn names(set: CapabilitySet) -> String {
    let names: Vec<_> = set.iter_names().map(|(name, _)| format!("CAP_{name}")).collect();
    format!("{{{}}}", names.join(", "))
}

pub(crate) fn errno(errno: rustix::io::Errno) -> Errno {
    Errno::from_raw(errno.raw_os_error())
}
