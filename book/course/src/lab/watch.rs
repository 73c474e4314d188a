//! From outside: until the lab's PID 1 ends, or its time is over.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ch01_clone::{Child, Error, Result, Signals};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// timeout(1)'s status for the same.
const TOO_LATE: u8 = 124;

/// Passes on signals until it has ended; kills it at the time limit.
pub(super) fn follow(child: Child, mut signals: Signals, limit: Duration) -> Result<u8> {
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            child.signal(libc::SIGKILL)?;
            child.wait()?;
            eprintln!("cargo x: the lab's time is over ({} s): it was ended", limit.as_secs());
            return Ok(TOO_LATE);
        }
        if ended(&child, &signals, left)? {
            return Ok(child.wait()?.code());
        }
        signals.forward(&child, true)?;
    }
}

/// Waits for its end, a signal, or the time.
fn ended(child: &Child, signals: &Signals, left: Duration) -> Result<bool> {
    let mut ready = [
        PollFd::new(child.pidfd(), PollFlags::POLLIN),
        PollFd::new(signals.as_fd(), PollFlags::POLLIN),
    ];
    // A millisecond more: rounded down to 0 it would not wait at all.
    let timeout = PollTimeout::try_from(left + Duration::from_millis(1));
    match poll(&mut ready, timeout.unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(Errno::EINTR) => Ok(ready[0].any() == Some(true)),
        Err(errno) => Err(Error::os("poll", errno)),
    }
}
