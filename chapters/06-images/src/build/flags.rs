//! Catalogue: not needed to understand the chapter.
//!
//! The `--name=value` of an instruction: each is taken by who knows it, and what nobody
//! has taken is refused.

use ch01_clone::{Error, Result};

use super::dockerfile::Line;

pub(crate) struct Flags {
    word: String,
    left: Vec<(String, Option<String>)>,
}

impl Flags {
    pub(crate) fn of(line: &Line) -> Result<Self> {
        let mut left: Vec<(String, Option<String>)> = Vec::new();
        for flag in &line.flags {
            let flag = flag.trim_start_matches("--");
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            // There may be several of these alone.
            if name != "mount" && left.iter().any(|(other, _)| other == name) {
                return Err(Error::new(format!("duplicate flag: --{name}")));
            }
            left.push((name.to_owned(), value));
        }
        Ok(Self { word: line.word.clone(), left })
    }

    /// The value of a flag, if it is there with one.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let found = self.left.iter().position(|(n, value)| n == name && value.is_some())?;
        self.left.remove(found).1
    }

    /// A flag that is on or off: whether it is on.
    pub(crate) fn take_switch(&mut self, name: &str) -> Result<bool> {
        let Some(found) = self.left.iter().position(|(n, _)| n == name) else { return Ok(false) };
        match self.left.remove(found).1.as_deref() {
            None | Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(Error::new(format!("--{name}={other} is neither true nor false"))),
        }
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<()> {
        match self.left.first() {
            None => Ok(()),
            Some((name, _)) => Err(Error::new(format!(
                "{} does not know the flag --{name}, or not in this form",
                self.word
            ))),
        }
    }
}
