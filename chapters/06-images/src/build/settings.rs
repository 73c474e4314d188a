//! Catalogue: not needed to understand the chapter.
//!
//! The instructions that only change what an image says of itself.

use ch01_clone::Result;
use serde_json::Value;

use super::instruction::Instruction;
use super::ports;
use super::stage::{Given, Stage};

impl Stage {
    /// Does what only changes what the image says of itself.
    pub(crate) fn apply(&mut self, instruction: &Instruction, given: &Given<'_>) -> Result<()> {
        match instruction {
            Instruction::Arg(all) => {
                for (name, default) in all {
                    let default = default.as_deref().map(|text| self.word(text)).transpose()?;
                    if let Some(value) = given.value(name, default) {
                        self.args.insert(name.clone(), value);
                    }
                }
            }
            Instruction::Env(all) => {
                let before = self.clone();
                for (name, value) in all {
                    let (name, value) = (before.word(name)?, before.word(value)?);
                    let mut env = self.env();
                    let pair = format!("{name}={value}");
                    match env.iter_mut().find(|old| old.split('=').next() == Some(&*name)) {
                        Some(old) => *old = pair,
                        None => env.push(pair),
                    }
                    self.config.set_env(Some(env));
                }
            }
            Instruction::Label(all) => {
                let mut labels = self.config.labels().clone().unwrap_or_default();
                for (name, value) in all {
                    labels.insert(self.word(name)?, self.word(value)?);
                }
                self.config.set_labels(Some(labels));
            }
            Instruction::Cmd(command) => {
                self.config.set_cmd(Some(self.command(command)).filter(|words| !words.is_empty()));
                self.own_cmd = true;
            }
            Instruction::Entrypoint(command) => {
                let words = Some(self.command(command)).filter(|words| !words.is_empty());
                self.config.set_entrypoint(words);
                // What the base had belonged to its own way in.
                if !self.own_cmd {
                    self.config.set_cmd(None);
                }
            }
            Instruction::User(text) => drop(self.config.set_user(Some(self.word(text)?))),
            Instruction::StopSignal(text) => {
                self.config.set_stop_signal(Some(self.word(text)?));
            }
            Instruction::Expose(text) => {
                let mut ports = self.config.exposed_ports().clone().unwrap_or_default();
                for word in self.words(text)? {
                    ports.extend(ports::ports(&word)?);
                }
                ports.sort();
                ports.dedup();
                self.config.set_exposed_ports(Some(ports));
            }
            Instruction::Volume(all) => {
                let mut volumes = self.config.volumes().clone().unwrap_or_default();
                for text in all {
                    volumes.push(self.path(&self.word(text)?));
                }
                volumes.sort();
                volumes.dedup();
                self.config.set_volumes(Some(volumes));
            }
            Instruction::Shell(words) => {
                self.more.insert("Shell".to_owned(), words.clone().into());
            }
            Instruction::Healthcheck(value) => {
                self.more.insert("Healthcheck".to_owned(), value.clone());
            }
            Instruction::Onbuild(text) => {
                let mut all = match self.more.remove("OnBuild") {
                    Some(Value::Array(all)) => all,
                    _ => Vec::new(),
                };
                all.push(text.clone().into());
                self.more.insert("OnBuild".to_owned(), all.into());
            }
            Instruction::Maintainer(text) => drop(self.image.set_author(Some(text.clone()))),
            Instruction::Workdir(_)
            | Instruction::From { .. }
            | Instruction::Copy(_)
            | Instruction::Run(..) => unreachable!("the builder does these"),
        }
        Ok(())
    }
}
