//! Catalogue: not needed to understand the chapter.
//!
//! A whole build: which stages are needed, one after the other, and the image at the end.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ch01_clone::{Error, Result};

use super::copy::Tree;
use super::dockerfile::{Dockerfile, Line, at};
use super::expand::Reading;
use super::ignore::Ignore;
use super::instruction::Instruction;
use super::stage::{Given, PROXIES, Stage};
use super::{Failure, Hands, Options};
use crate::import::{New, json_blob, manifest};
use crate::ingest::Ingest;
use crate::registry::Platform;
use crate::store::{Image, Store};
use crate::{name, time};

/// One line of a stage.
pub(crate) struct Step {
    pub(crate) line: Line,
    pub(crate) what: Instruction,
}

/// A stage as it is written: its FROM, and what follows.
struct Written {
    name: Option<String>,
    steps: Vec<Step>,
}

pub(crate) struct Builder<'a, 'h> {
    pub(crate) store: &'a Store,
    pub(crate) options: &'a Options,
    pub(crate) hands: &'a mut Hands<'h>,
    pub(crate) context: Option<Tree>,
    /// Times after this one, in seconds since 1970, become it.
    pub(crate) epoch: i64,
    pub(crate) global: BTreeMap<String, String>,
    pub(crate) used: RefCell<BTreeSet<String>>,
    pub(crate) escape: char,
    written: Vec<Written>,
    /// The stages that are finished, by number.
    done: BTreeMap<usize, Stage>,
}

impl<'a, 'h> Builder<'a, 'h> {
    /// Reads everything before anything is done.
    pub(crate) fn new(
        store: &'a Store,
        options: &'a Options,
        hands: &'a mut Hands<'h>,
    ) -> Result<Self> {
        let name =
            |error: Error| Error { call: format!("{}: {}", options.file, error.call), ..error };
        options.tags.iter().try_for_each(|tag| name::for_tagging(tag).map(drop))?;
        let file = Dockerfile::parse(&options.text).map_err(name)?;
        let escape = file.escape;
        let context = options.context.as_deref();
        let ignore = Ignore::parse(&options.ignore);
        let context = context.map(|dir| Tree::context(dir, ignore)).transpose()?;
        let epoch = match (options.epoch, &context) {
            (Some(epoch), _) => epoch,
            (None, Some(context)) => context.newest(Path::new(""))?.max(options.written),
            (None, None) => options.written,
        };
        let mut builder = Self {
            store,
            options,
            hands,
            context,
            epoch,
            global: platforms(options.platform.as_ref()),
            used: RefCell::default(),
            escape,
            written: Vec::new(),
            done: BTreeMap::new(),
        };
        builder.sort(file).map_err(name)?;
        Ok(builder)
    }

    /// Which line belongs to which stage; what comes before all of them.
    fn sort(&mut self, file: Dockerfile) -> Result<()> {
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

    pub(crate) fn given(&self) -> Given<'_> {
        Given { build: &self.options.args, global: &self.global, used: &self.used }
    }

    /// A word of FROM, where only what was said before all stages counts.
    pub(crate) fn global_word(&self, text: &str) -> Result<String> {
        let variable = |name: &str| self.global.get(name).cloned();
        Reading { escape: self.escape, variable: &variable }.word(text)
    }

    /// The number of a stage before `before` that has this name or number.
    fn stage_called(&self, name: &str, before: usize) -> Option<usize> {
        let named = |stage: &Written| stage.name.as_deref() == Some(&*name.to_ascii_lowercase());
        let found = self.written[..before].iter().rposition(named);
        found.or_else(|| name.parse().ok().filter(|number| *number < before))
    }

    /// A stage that is finished, by its name or number.
    pub(crate) fn finished(&self, name: &str) -> Option<&Stage> {
        let number = self.stage_called(name, self.written.len())?;
        self.done.get(&number)
    }

    pub(crate) fn build(mut self) -> Result<Image, Failure> {
        let last = self.written.len();
        let target = match &self.options.target {
            None => last - 1,
            Some(name) => self
                .stage_called(name, last)
                .ok_or_else(|| Error::new(format!("target stage {name:?} could not be found")))?,
        };
        let mut needed = BTreeSet::new();
        self.needs(target, &mut needed)?;
        let total: usize = needed.iter().map(|number| self.written[*number].steps.len()).sum();
        let mut count = 0;
        for number in needed {
            let steps = std::mem::take(&mut self.written[number].steps);
            let stage = self.stage(&steps, (&mut count, total))?;
            self.done.insert(number, stage);
        }
        let stage = self.done.remove(&target).ok_or_else(|| Error::new("no stage was built"))?;
        Ok(self.finish(stage)?)
    }

    /// A stage, and those that it takes something from.
    fn needs(&self, number: usize, needed: &mut BTreeSet<usize>) -> Result<()> {
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

    fn stage(
        &mut self,
        steps: &[Step],
        (count, total): (&mut usize, usize),
    ) -> Result<Stage, Failure> {
        let mut stage = Stage::scratch(self.escape);
        for step in steps {
            *count += 1;
            let line = &step.line;
            let flags: String = line.flags.iter().map(|flag| format!("{flag} ")).collect();
            (self.hands.say)(&format!("Step {count}/{total} : {} {flags}{}", line.word, line.text));
            self.step(&mut stage, step).map_err(|Failure { error, status }| {
                // Of a program that could not be executed the status says so.
                let own = (error.exit_status() != 125).then(|| error.exit_status());
                Failure { status: status.or(own), error: self.located(line, error) }
            })?;
        }
        Ok(stage)
    }

    /// An error, and where it is.
    fn located(&self, line: &Line, error: Error) -> Error {
        let step = if error.step.is_empty() { String::new() } else { format!("{}: ", error.step) };
        let call = format!("{}:{}: {step}{}", self.options.file, line.number, error.call);
        Error { step: String::new(), call, ..error }
    }

    /// The configuration and the manifest, and the names last.
    fn finish(&mut self, mut stage: Stage) -> Result<Image> {
        let created = self.created();
        let mut labels = stage.config.labels().clone().unwrap_or_default();
        labels.extend(self.options.labels.iter().cloned());
        stage.config.set_labels(Some(labels).filter(|labels| !labels.is_empty()));
        let ingest = Ingest::begin(self.store)?;
        let (config, whole) = stage.written(&created)?;
        let config_blob = json_blob(&ingest, "config", &whole)?;
        let layers = stage.layers.as_ref().map(|layers| layers.descriptors()).unwrap_or_default();
        let (entry, manifest) = manifest(&ingest, "manifest", &config, &config_blob, layers)?;
        let mut names: Vec<Option<String>> = Vec::new();
        for tag in &self.options.tags {
            names.push(Some(name::for_tagging(tag)?));
        }
        if names.is_empty() {
            names.push(None);
        }
        let new = |name| New { entry: entry.clone(), layers: Vec::new(), name };
        let new: Vec<New> = names.iter().cloned().map(new).collect();
        let image = self.store.keep(ingest, &[config_blob, manifest], &new)?.remove(0);
        self.warn();
        (self.hands.say)(&format!("Successfully built {}", &image.id["sha256:".len()..][..12]));
        for name in names.iter().flatten() {
            (self.hands.say)(&format!("Successfully tagged {name}"));
        }
        Ok(image)
    }

    fn warn(&mut self) {
        let used = self.used.borrow();
        let unused = |name: &&String| !used.contains(*name) && !is_proxy(name);
        let unused: Vec<&str> =
            self.options.args.keys().filter(unused).map(String::as_str).collect();
        if !unused.is_empty() {
            let text = format!("[Warning] One or more build-args {unused:?} were not consumed");
            (self.hands.say)(&text);
        }
    }

    /// When it is to have been made.
    pub(crate) fn created(&self) -> String {
        let since = std::time::Duration::from_secs(self.epoch.max(0) as u64);
        time::to_text(std::time::UNIX_EPOCH + since)
    }
}

/// A variable that a program needs to reach others, and that no image should remember.
pub(crate) fn is_proxy(name: &str) -> bool {
    PROXIES.iter().any(|proxy| name == *proxy || name == proxy.to_ascii_lowercase())
}

/// What is known before all stages: where it is built, and for which machine.
fn platforms(target: Option<&Platform>) -> BTreeMap<String, String> {
    let here = Platform::here();
    let mut all = BTreeMap::new();
    for (kind, platform) in [("BUILD", &here), ("TARGET", target.unwrap_or(&here))] {
        let mut set = |name: &str, value: String| drop(all.insert(format!("{kind}{name}"), value));
        set("PLATFORM", platform.to_string());
        set("OS", platform.os.clone());
        set("ARCH", platform.architecture.clone());
        set("VARIANT", platform.variant.clone().unwrap_or_default());
    }
    all
}
