//! Catalogue: not needed to understand the chapter.
//!
//! How often something is tried, and how long one waits in between.

use std::time::Duration;

use ch01_clone::{Error, Result};

/// An attempt that failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It makes no sense to try again.
    Final(Error),
    /// The next attempt may succeed, after so long if the registry has said it.
    Passing(Error, Option<Duration>),
}

impl Fault {
    /// One that may pass.
    pub(crate) fn passing(error: Error) -> Self {
        Fault::Passing(error, None)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Final(error)
    }
}

/// Attempts that get nowhere, before one gives up.
const ATTEMPTS: u32 = 5;
/// Before the second attempt; doubled each time.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Nobody waits longer, whatever a registry asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What is left of it. An attempt that got further than all before does not count: so
/// a large layer comes over a bad line, and what comes damaged is not fetched for ever.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    failures: u32,
    furthest: u64,
}

impl Patience {
    /// After an attempt that failed when `reached` bytes were there: waits, or gives up.
    pub(crate) fn after(&mut self, fault: Fault, reached: u64) -> Result<()> {
        let (error, asked) = match fault {
            Fault::Final(error) => return Err(error),
            Fault::Passing(error, asked) => (error, asked),
        };
        match reached > self.furthest {
            true => (self.furthest, self.failures) = (reached, 1),
            false => self.failures += 1,
        }
        if self.failures >= ATTEMPTS {
            return Err(error);
        }
        let wait = asked.unwrap_or(FIRST_WAIT * 2u32.pow(self.failures - 1));
        std::thread::sleep(wait.min(LONGEST_WAIT));
        Ok(())
    }
}

/// Until it succeeds, or there is no patience left.
pub(crate) fn insist<T>(mut attempt: impl FnMut() -> Result<T, Fault>) -> Result<T> {
    let mut patience = Patience::default();
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(fault) => patience.after(fault, 0)?,
        }
    }
}
