//! The way out: in reverse, to the end, whatever fails on it.

use ch01_clone::{Error, Result};

/// Collects what failed while tear-down went on.
#[derive(Default)]
pub struct Teardown(Vec<Error>);

impl Teardown {
    /// One thing to take down.
    pub fn also(&mut self, done: Result<()>) {
        self.0.extend(done.err());
    }

    /// The first thing that failed, with all others in the same sentence.
    pub fn end(self) -> Result<()> {
        let mut errors = self.0.into_iter();
        let Some(mut first) = errors.next() else { return Ok(()) };
        for error in errors {
            first.call = format!("{}; also {error}", first.call);
        }
        Err(first)
    }
}
