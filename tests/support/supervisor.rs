//! A supervisor of system calls, as seccomp_unotify(2) has it.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys;
use crate::wait::scaled;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It happens, as if nobody had asked.
    GoesOn,
    /// It does not happen, and fails with this error.
    Fails(Errno),
}

/// Answers the calls that `listener` tells of until nobody is left who could make one.
/// Gives their numbers, in their order.
pub fn supervise(
    listener: &OwnedFd,
    limit: Duration,
    decide: impl Fn(i64) -> Answer,
) -> Result<Vec<i64>, Failed> {
    let (mut calls, deadline) = (Vec::new(), Instant::now() + scaled(limit));
    loop {
        let mut ready = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        let rest = deadline.saturating_duration_since(Instant::now());
        poll(&mut ready, PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX))?;
        match ready[0].revents().unwrap_or(PollFlags::empty()) {
            events if events.contains(PollFlags::POLLIN) => match sys::next_call(listener) {
                Ok((id, number)) => {
                    calls.push(number);
                    sys::answer_call(listener, id, decide(number))?;
                }
                // It was killed meanwhile.
                Err(Errno::ENOENT | Errno::EINTR) => {}
                Err(errno) => return Err(format!("SECCOMP_IOCTL_NOTIF_RECV: {errno}").into()),
            },
            events if events.is_empty() => return Err(format!("still there: {calls:?}").into()),
            _ => return Ok(calls),
        }
    }
}
