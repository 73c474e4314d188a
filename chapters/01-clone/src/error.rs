//! Catalogue: not needed to understand the chapter.
//!
//! What went wrong, in one sentence: which step, which call, which errno, and what to try.
//!
//! The same type crosses the gate: a failure inside the child is sent to its
//! parent field by field, so that the user reads the same sentence either way.

use std::fmt;

use nix::errno::Errno;

/// The result of everything in the chapters.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The step's name, as `--explain` shows it; empty where no step was under way.
    pub step: String,
    /// The call with its arguments, or what was being done.
    pub call: String,
    /// What the kernel answered; `None` where the refusal is our own.
    pub errno: Option<Errno>,
    /// What to try, when there is something.
    pub hint: Option<String>,
}

impl Error {
    /// The kernel refused `call`.
    pub fn os(call: impl Into<String>, errno: Errno) -> Self {
        Self { step: String::new(), call: call.into(), errno: Some(errno), hint: None }
    }

    /// We refuse, or found something wrong: a whole sentence without the full stop.
    pub fn new(what: impl Into<String>) -> Self {
        Self { step: String::new(), call: what.into(), errno: None, hint: None }
    }

    /// The same error with a sentence that says what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert(hint.into());
        self
    }

    /// The same error as part of `step`; the innermost name stays.
    #[must_use]
    pub fn during(mut self, step: &str) -> Self {
        if self.step.is_empty() {
            self.step = step.to_owned();
        }
        self
    }

    /// The exit status that docker gives such a failure: 127 if the program
    /// was not found, 126 if it could not be executed, else 125.
    pub fn exit_status(&self) -> u8 {
        match (self.step.as_str(), self.errno) {
            ("execve", Some(Errno::ENOENT)) => 127,
            ("execve", Some(_)) => 126,
            _ => 125,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.step.is_empty() {
            write!(f, "{}: ", self.step)?;
        }
        f.write_str(&self.call)?;
        match self.errno {
            Some(errno) => write!(f, ": {errno:?} ({})", errno.desc()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// Says of a failed call what was called: `open(path).call(|| format!("open({path:?})"))?`.
pub trait Context<T> {
    /// Turns the error into an [`Error`] that names the call.
    fn call<S: Into<String>>(self, call: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Cause>> Context<T> for std::result::Result<T, E> {
    fn call<S: Into<String>>(self, call: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| match error.into() {
            Cause::Errno(errno) => Error::os(call(), errno),
            Cause::Whole(error) => error,
        })
    }
}

/// What a call fails with: a bare errno still wants a name, a whole [`Error`] has one.
#[derive(Debug)]
pub enum Cause {
    /// The kernel's number.
    Errno(Errno),
    /// An error that already says what was called.
    Whole(Error),
}

impl From<Errno> for Cause {
    fn from(errno: Errno) -> Self {
        Cause::Errno(errno)
    }
}

impl From<Error> for Cause {
    fn from(error: Error) -> Self {
        Cause::Whole(error)
    }
}

impl From<std::io::Error> for Cause {
    fn from(error: std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Cause::Errno(Errno::from_raw(errno)),
            None => Cause::Whole(Error::new(error.to_string())),
        }
    }
}
