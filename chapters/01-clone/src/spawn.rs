//! Making the child: clone3, the gate, and the types that keep the order.
//!
//! A [`Plan`] becomes a [`Waiting`] child, which stands at its gate while the
//! parent maps its ids or gives it a network. [`Waiting::start`] opens the gate
//! and follows the child to its execve: then it is a running [`Child`]. The
//! compiler sees to it that nobody waits for a child that was never let go.

use std::convert::Infallible;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Pid, Uid, setgroups, setresgid, setresuid};

use crate::error::{Error, Result};
use crate::gate::{Gate, Message};
use crate::idmap::IdMaps;
use crate::namespaces::{Namespace, Namespaces};
use crate::wait::Child;
use crate::{hints, step, steps, sys};

// ANCHOR: plan
/// What the child shall be.
#[derive(Default)]
pub struct Plan<'a> {
    /// The namespaces that it gets anew; the rest it shares with its parent.
    pub namespaces: Namespaces,
    /// How its ids look outside; only for a new user namespace.
    pub ids: Option<IdMaps>,
    /// The directory of a version 2 cgroup that it is born into.
    pub cgroup: Option<BorrowedFd<'a>>,
}
// ANCHOR_END: plan

/// A child at its gate. Dropped, it is killed.
pub struct Waiting {
    child: Child,
    gate: Gate,
}

impl Plan<'_> {
    /// Clones this process. The child waits at the gate and then runs `body`,
    /// which ends in an execve or says why not.
    ///
    /// `body` is the parent's memory as it was: everything that it captures is
    /// a copy, and nothing that it does to it comes back.
    pub fn spawn<F>(&self, body: F) -> Result<Waiting>
    where
        F: FnOnce(&Gate) -> Result<Infallible>,
    {
        // ANCHOR: spawn
        let (ours, theirs) = Gate::pair()?;
        match self.clone3(libc::SIGCHLD, 0)? {
            sys::Side::Parent { pid, pidfd } => {
                steps::about(pid.as_raw());
                let waiting = Waiting::new(pid, pidfd, ours);
                self.ids.as_ref().map_or(Ok(()), |ids| ids.write(pid))?;
                Ok(waiting)
            }
            sys::Side::Child => {
                drop(ours);
                self.child(&theirs, body)
            }
        }
        // ANCHOR_END: spawn
    }

    /// The clone itself; `signal` is what tells the parent of its end, and
    /// `extra` flags may say whose child it becomes.
    pub(crate) fn clone3(&self, signal: i32, extra: u64) -> Result<sys::Side> {
        // A new cgroup namespace has as its root the cgroup that one is in, and on
        // version 1 the child is moved after the clone: so it makes it itself.
        let now = self.namespaces.without(Namespace::Cgroup);
        let into = if self.cgroup.is_some() { "|CLONE_INTO_CGROUP" } else { "" };
        let flags = now.flags() | extra;
        step!(
            "clone3",
            "A copy of this process starts, with its own view of each part of the \
             machine that a flag names. It waits at the gate until we let it go.",
            "lsns -p PID",
            "clone3({now}|CLONE_PIDFD{into})",
            sys::clone3(flags, self.cgroup, signal).map_err(|error| hints::clone3(error, now)),
        )
    }

    /// The child's side: tell, wait, make itself at home, run. It never returns.
    pub(crate) fn child<F>(&self, gate: &Gate, body: F) -> !
    where
        F: FnOnce(&Gate) -> Result<Infallible>,
    {
        // A panic must not unwind into the parent's stack, of which we are a copy.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            // ANCHOR: child
            steps::tell_over(gate)?;
            gate.wait()?;
            self.settle()?;
            body(gate)
            // ANCHOR_END: child
        }));
        let error = match outcome {
            Ok(Err(error)) => error,
            Err(_) => Error::new("the child panicked"),
        };
        let status = error.exit_status();
        // Whoever would hear of it is gone if this fails; the status still says it.
        let _ = gate.send(&Message::Failed(error));
        sys::exit_now(status.into())
    }

    /// The first steps inside: what the new namespaces need to be one's own.
    fn settle(&self) -> Result<()> {
        if self.namespaces.has(Namespace::User) {
            step!(
                "become-root",
                "With the map in place, id 0 exists in here. Root inside; outside, \
                 whoever the map says.",
                "grep -E '^(Uid|CapEff)' /proc/PID/status",
                "setresgid(0, 0, 0), setresuid(0, 0, 0)",
                become_root(),
            )?;
        }
        // ANCHOR: private
        if self.namespaces.has(Namespace::Mount) {
            step!(
                "private",
                "The copied mounts may still be shared with the host's: cut them \
                 off before the first mount, or it would show there too.",
                "grep -c shared: /proc/PID/mountinfo",
                "mount(NULL, \"/\", NULL, MS_REC|MS_PRIVATE, NULL)",
                mount(
                    None::<&str>,
                    "/",
                    None::<&str>,
                    MsFlags::MS_REC | MsFlags::MS_PRIVATE,
                    None::<&str>
                ),
            )?;
        }
        // ANCHOR_END: private
        match self.namespaces.has(Namespace::Cgroup) {
            true => own_cgroup_namespace(),
            false => Ok(()),
        }
    }
}

/// Also what a child does that enters its cgroup by itself, and so has no such namespace in
/// its plan.
pub fn own_cgroup_namespace() -> Result<()> {
    step!(
        "cgroup-namespace",
        "The cgroup in which the child now is becomes the root of what it sees.",
        "cat /proc/PID/cgroup",
        "unshare(CLONE_NEWCGROUP)",
        unshare(CloneFlags::CLONE_NEWCGROUP),
    )
}

/// Also what a process does that has joined somebody else's user namespace.
pub(crate) fn become_root() -> nix::Result<()> {
    // ANCHOR: become_root
    match setgroups(&[]) {
        // Where the map had to say `deny`, the groups stay.
        Ok(()) | Err(Errno::EPERM) => {}
        Err(errno) => return Err(errno),
    }
    let (user, group) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(group, group, group)?;
    setresuid(user, user, user)
    // ANCHOR_END: become_root
}

impl Waiting {
    pub(crate) fn new(pid: Pid, pidfd: OwnedFd, gate: Gate) -> Self {
        Waiting { child: Child::new(pid, pidfd), gate }
    }

    /// The child's pid, as this process sees it.
    pub fn pid(&self) -> Pid {
        self.child.pid()
    }

    /// Opens the gate and follows the child to its execve.
    ///
    /// Its terminal comes along if it made one. What it could not do is the
    /// error; a child that died without a word is an error too.
    pub fn start(self) -> Result<(Child, Option<OwnedFd>)> {
        self.start_with(|_| Ok(()))
    }

    /// The same; `ready` is called when the child waits once more ([`Message::Ready`]).
    pub fn start_with<F>(self, ready: F) -> Result<(Child, Option<OwnedFd>)>
    where
        F: FnMut(Option<OwnedFd>) -> Result<()>,
    {
        self.follow(ready).map(|(child, descriptor)| (child, descriptor.map(|(_, fd)| fd)))
    }

    /// The same; what comes along may also be the child of a helper, with its pid.
    pub(crate) fn follow(
        self,
        mut ready: impl FnMut(Option<OwnedFd>) -> Result<()>,
    ) -> Result<(Child, Option<(i32, OwnedFd)>)> {
        let (mut exec, mut terminal) = (false, None);
        // ANCHOR: follow
        self.answer(&Message::Go)?;
        loop {
            match self.gate.receive()? {
                Some(Message::Exec) => exec = true,
                Some(Message::Failed(error)) => return Err(error),
                None if exec => return Ok((self.child, terminal)),
                None => return Err(self.child.died_early()),
                // ANCHOR_END: follow
                Some(Message::Go) => return Err(Error::new("the child answered out of turn")),
                // Only with --explain and its like: the child asks before each step.
                Some(Message::Step(step)) => self.permit(steps::tell(step))?,
                Some(Message::Ready(given)) => self.permit(ready(given))?,
                // Only from chapter 5 on.
                Some(Message::Terminal(fd)) => terminal = Some((0, fd)),
                // Only from the helper in `join`. The child that it made holds a copy of
                // its end, so it does not close while that child runs.
                Some(Message::Child(pid, fd)) => return Ok((self.child, Some((pid, fd)))),
            }
        }
    }

    fn permit(&self, may: Result<()>) -> Result<()> {
        self.answer(&may.map_or_else(Message::Failed, |()| Message::Go))
    }

    /// A child that is gone does not hear it. What it said before, and the end of
    /// file, are still to be read.
    fn answer(&self, message: &Message) -> Result<()> {
        match self.gate.send(message) {
            Err(error) if error.errno == Some(Errno::EPIPE) => Ok(()),
            other => other,
        }
    }
}
