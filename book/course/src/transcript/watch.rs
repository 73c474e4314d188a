//! Whether something goes on in a terminal.

use std::time::{Duration, Instant};

/// A terminal, looked at again and again.
pub(super) struct Watch {
    pub(super) start: Instant,
    /// How much was said, and since when.
    length: usize,
    since: Instant,
    /// Since when a program has the terminal.
    busy: Option<Instant>,
}

impl Watch {
    pub(super) fn begin() -> Watch {
        let now = Instant::now();
        Watch { start: now, length: 0, since: now, busy: None }
    }

    pub(super) fn look(&mut self, length: usize, busy: bool) {
        if length != self.length {
            (self.length, self.since) = (length, Instant::now());
        }
        self.busy = busy.then(|| self.busy.unwrap_or_else(Instant::now));
    }

    /// A program has had the terminal for this long, and a moment at least.
    pub(super) fn runs(&self, moment: Duration) -> bool {
        let moment = moment.max(Duration::from_millis(100));
        self.busy.is_some_and(|since| since.elapsed() > moment)
    }

    pub(super) fn silent(&self, time: Duration) -> bool {
        self.since.elapsed() > time
    }
}
