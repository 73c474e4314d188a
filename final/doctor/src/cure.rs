//! A cure: what to tell, and where it is a command, what to run and how to take it back.

/// What helps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cure {
    /// What a reader is told; empty if nothing is to be done.
    pub text: String,
    /// The same as a change that can be made for them.
    pub change: Option<Change>,
}

/// A change to this machine. Each command is one line for `sh -c`, run as root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it does, in a few words.
    pub what: String,
    /// The command.
    pub run: String,
    /// The command that takes it back; empty if there is none.
    pub undo: String,
}

impl Cure {
    /// A text, and the change that it speaks of.
    pub(crate) fn with(text: impl Into<String>, change: Change) -> Self {
        Self { text: text.into(), change: Some(change) }
    }
}

impl Change {
    pub(crate) fn new(
        what: impl Into<String>,
        run: impl Into<String>,
        undo: impl Into<String>,
    ) -> Self {
        Self { what: what.into(), run: run.into(), undo: undo.into() }
    }
}

impl From<String> for Cure {
    fn from(text: String) -> Self {
        Self { text, change: None }
    }
}

impl From<&str> for Cure {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}
