//! Catalogue: not needed to understand the chapter.
//!
//! The stages of a Dockerfile: what is in which, and which of them are needed.

use std::collections::BTreeSet;

use ch01_clone::{Error, Result};

use super::builder::Builder;
use super::dockerfile::{Dockerfile, Line, at};
use super::instruction::Instruction;
use super::stage::Stage;

/// One line of a stage.
pub(crate) struct Step {
    pub(crate) line: Line,
    pub(crate) what: Instruction,
}

/// A stage as it is written: its FROM, and what follows.
pub(crate) struct Written {
    pub(crate) name: Option<String>,
    pub(crate) steps: Vec<Step>,
}

impl Builder<'_, '_> {
    /// Which line belongs to which stage; what comes before all of them.
    pub(super) fn sort(&mut self, file: Dockerfile) -> Result<()> {
        for line in file.lines {
            let number = line.number;
            let what = Instruction::parse(&line, file.escape).map_err(|error| at(number, error))?;
            match (&what, self.written.last_mut()) {
                (Instruction::From { name, .. }, _) => {
                    let name = name.clone();
                    if name.is_some() && self.written.iter().any(|stage| stage.name == name) {
                        let text = format!("duplicate name {}", name.unwrap_or_default());
                        return Err(at(number, Error::new(text)));
                    }
                    self.written.push(Written { name, steps: vec![Step { line, what }] });
                }
                (_, Some(stage)) => stage.steps.push(Step { line, what }),
                (Instruction::Arg(all), None) => {
                    for (name, default) in all {
                        let default = default.as_deref().map(|text| self.global_word(text));
                        let default = default.transpose().map_err(|error| at(number, error))?;
                        if let Some(value) = self.given().value(name, default) {
                            self.global.insert(name.clone(), value);
                        }
                    }
                }
                (_, None) => {
                    let text =
                        format!("no build stage in current context: {} before FROM", line.word);
                    return Err(at(number, Error::new(text)));
                }
            }
        }
        match self.written.is_empty() {
            true => Err(Error::new("it has no FROM: there is nothing to begin with")),
            false => Ok(()),
        }
    }

    /// The number of a stage before `before` that has this name or number.
    pub(super) fn stage_called(&self, name: &str, before: usize) -> Option<usize> {
        let named = |stage: &Written| stage.name.as_deref() == Some(&*name.to_ascii_lowercase());
        let found = self.written[..before].iter().rposition(named);
        found.or_else(|| name.parse().ok().filter(|number| *number < before))
    }

    /// A stage that is finished, by its name or number.
    pub(crate) fn finished(&self, name: &str) -> Option<&Stage> {
        let number = self.stage_called(name, self.written.len())?;
        self.done.get(&number)
    }

    /// A stage, and those that it takes something from.
    pub(super) fn needs(&self, number: usize, needed: &mut BTreeSet<usize>) -> Result<()> {
        if !needed.insert(number) {
            return Ok(());
        }
        for step in &self.written[number].steps {
            let other = match &step.what {
                Instruction::From { image, .. } => {
                    let image = self.global_word(image);
                    let image = image.map_err(|error| self.located(&step.line, error))?;
                    self.stage_called(&image, number).filter(|_| image.parse::<u32>().is_err())
                }
                Instruction::Copy(copy) => {
                    copy.from.as_deref().and_then(|name| self.stage_called(name, number))
                }
                _ => None,
            };
            other.map_or(Ok(()), |other| self.needs(other, needed))?;
        }
        Ok(())
    }
}
