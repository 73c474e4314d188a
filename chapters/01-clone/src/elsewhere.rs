//! Catalogue: not needed to understand the chapter.
//!
//! A child in namespaces that others have made, and that have a path.

use std::convert::Infallible;
use std::os::fd::OwnedFd;

use nix::sched::{CloneFlags, setns};

use crate::clocks::write_offsets;
use crate::error::{Context, Result};
use crate::gate::Gate;
use crate::join::through;
use crate::namespaces::Namespace;
use crate::spawn::{Plan, Waiting, become_root};

/// What a helper does before it makes the child, because the child cannot.
#[derive(Default)]
pub struct Elsewhere {
    /// Namespaces that exist already, by descriptors of their files; a user
    /// namespace comes first, since it decides what else is allowed.
    pub namespaces: Vec<(Namespace, OwnedFd)>,
    /// A new time namespace with these offsets: clock, seconds and nanoseconds a line.
    pub clocks: Option<String>,
}

impl Plan<'_> {
    /// [`spawn`](Self::spawn), but the child is born elsewhere.
    pub fn spawn_elsewhere<F>(&self, elsewhere: &Elsewhere, body: F) -> Result<Waiting>
    where
        F: FnOnce(&Gate) -> Result<Infallible>,
    {
        let user = elsewhere.namespaces.iter().any(|(kind, _)| *kind == Namespace::User);
        // A cgroup namespace comes last: the clone finds its own cgroup from outside of it.
        let last = |kind: &Namespace| *kind == Namespace::Cgroup;
        let waiting = through(
            self,
            || elsewhere.enter(|kind| !last(kind)).and_then(|()| elsewhere.offset_clocks()),
            |gate| {
                elsewhere.enter(last)?;
                if user {
                    become_root().call(|| "setresuid(0, 0, 0)")?;
                }
                body(gate)
            },
        )?;
        self.ids.as_ref().map_or(Ok(()), |ids| ids.write(waiting.pid()))?;
        Ok(waiting)
    }
}

impl Elsewhere {
    fn enter(&self, which: impl Fn(&Namespace) -> bool) -> Result<()> {
        for (kind, file) in self.namespaces.iter().filter(|(kind, _)| which(kind)) {
            let flag = CloneFlags::from_bits_retain(kind.flag() as i32);
            setns(file, flag).call(|| format!("setns({})", kind.file()))?;
        }
        Ok(())
    }

    fn offset_clocks(&self) -> Result<()> {
        self.clocks.as_deref().map_or(Ok(()), write_offsets)
    }
}
