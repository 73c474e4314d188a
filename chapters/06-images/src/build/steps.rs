//! Catalogue: not needed to understand the chapter.
//!
//! The instructions that need files: FROM, COPY and ADD, WORKDIR.

use std::io::{Write, sink};

use ch01_clone::{Error, Result};
use oci_spec::image::Digest;

use super::Failure;
use super::builder::Builder;
use super::cache::Layers;
use super::copy::{Plan, Tree};
use super::dockerfile::Dockerfile;
use super::instruction::{Copy, Instruction};
use super::layer::Packed;
use super::stage::Stage;
use super::stages::Step;
use crate::digest::{self, Hashed};
use crate::ingest::Ingest;
use crate::registry::Platform;
use crate::stack::Stack;
use crate::user::identity;
use crate::{name, time};

impl Builder<'_, '_> {
    /// Does one instruction.
    pub(crate) fn step(&mut self, stage: &mut Stage, step: &Step) -> Result<(), Failure> {
        let line = &step.line;
        let flags: String = line.flags.iter().map(|flag| format!("{flag} ")).collect();
        let mut shown = format!("{} {flags}{}", line.word, line.text);
        let layer = match &step.what {
            Instruction::From { image, platform, .. } => {
                return self.from(stage, image, platform.as_deref());
            }
            Instruction::Copy(copy) => self.copy(stage, copy)?,
            Instruction::Workdir(text) => self.workdir(stage, text)?,
            Instruction::Run(command, mounts, network) => {
                let args = self.program(stage, command, step)?;
                shown = format!("RUN {}", args.join(" "));
                self.run(stage, &args, mounts, self.network(*network)?)?;
                true
            }
            other => {
                let given = self.given();
                stage.apply(other, &given)?;
                false
            }
        };
        stage.note(&self.created(), &shown, layer);
        Ok(())
    }

    fn from(
        &mut self,
        stage: &mut Stage,
        image: &str,
        platform: Option<&str>,
    ) -> Result<(), Failure> {
        let wanted = self.global_word(image)?;
        if wanted.is_empty() {
            return Err(Error::new(format!("base name ({image}) should not be blank")).into());
        }
        if wanted == "scratch" {
            return Ok(());
        }
        if let Some(done) = self.finished(&wanted).filter(|_| wanted.parse::<usize>().is_err()) {
            *stage = done.next();
        } else {
            let platform = platform.map(|text| self.global_word(text)).transpose()?;
            let platform = platform.filter(|text| !text.is_empty());
            let (image, layers) = self.image(&wanted, platform)?;
            // What it is made of is as old as itself.
            let made = image.config.created().as_deref().and_then(time::from_text);
            let made = made.and_then(|made| made.duration_since(std::time::UNIX_EPOCH).ok());
            if self.options.epoch.is_none() {
                self.epoch = self.epoch.max(made.map_or(0, |since| since.as_secs() as i64));
            }
            *stage = Stage::of(self.store, &image, layers, self.escape)?;
        }
        for trigger in stage.triggers() {
            (self.hands.say)(&format!("# Executing build trigger: {trigger}"));
            for line in Dockerfile::parse(&trigger)?.lines {
                let what = Instruction::parse(&line, self.escape)?;
                self.step(stage, &Step { line, what })?;
            }
        }
        Ok(())
    }

    /// An image that is not built here, and its layers, which stay.
    fn image(
        &mut self,
        wanted: &str,
        platform: Option<String>,
    ) -> Result<(crate::store::Image, Layers)> {
        let platform = match platform {
            Some(text) => Some(Platform::parse(&text)?),
            None => self.options.platform.clone(),
        };
        let text = platform.map(|platform| platform.to_string());
        name::parse(wanted).map(drop).or_else(|error| {
            // It may be an id.
            if self.store.has(wanted, None)? { Ok(()) } else { Err(error) }
        })?;
        (self.hands.provide)(wanted, text.as_deref())?;
        let image = self.store.resolve(wanted)?;
        let key = digest::of(format!("FROM {}", image.digest).as_bytes());
        let layers = match self.store.built(&key)? {
            Some(layers) if layers.dirs() == image.layers => layers,
            _ => self.store.base(&image, &key)?,
        };
        Ok((image, layers))
    }

    fn copy(&mut self, stage: &mut Stage, copy: &Copy) -> Result<bool> {
        let ingest = Ingest::begin(self.store)?;
        let tree = match &copy.from {
            Some(name) => Some(match self.finished(name) {
                Some(done) => Tree::layers(done.dirs())?,
                None => Tree::layers(self.image(name, None)?.1.dirs())?,
            }),
            None => self.context.clone(),
        };
        let mut sources = Vec::new();
        for source in &copy.sources {
            let tree = tree.as_ref().ok_or_else(|| {
                Error::new("there is no build context: the Dockerfile came alone")
            })?;
            sources.extend(tree.find(&stage.word(source)?)?);
        }
        if copy.unpack {
            let numbered = sources.into_iter().enumerate();
            let unpacked = numbered.map(|(number, source)| source.unpacked(&ingest, number));
            sources = unpacked.collect::<Result<_>>()?;
        }
        let mut texts = Vec::new();
        for document in &copy.documents {
            let text = match document.expand {
                true => stage.document(&document.text)?,
                false => document.text.clone(),
            };
            texts.push((document.name.clone(), text.into_bytes()));
        }
        if sources.is_empty() && texts.is_empty() {
            return Err(Error::new("no source files were specified"));
        }
        let below = Stack::open(stage.dirs())?;
        let to = stage.word(&copy.to)?;
        // A slash at its end says that it is a directory.
        let slash = if to.ends_with('/') || to.ends_with("/.") || to == "." { "/" } else { "" };
        let plan = Plan {
            sources,
            texts,
            to: format!("{}{slash}", stage.path(&to)),
            owner: copy.chown.as_deref().map(|who| self.owner(stage, &below, who)).transpose()?,
            mode: copy.chmod.as_deref().map(|mode| permissions(stage, mode)).transpose()?,
        };
        self.lay(stage, &below, &plan, ingest)?;
        Ok(true)
    }

    /// User and group; a user's number alone is the group's, too.
    fn owner(&self, stage: &Stage, below: &Stack, who: &str) -> Result<(u32, u32)> {
        let who = stage.word(who)?;
        match who.parse() {
            Ok(number) => Ok((number, number)),
            Err(_) => identity(below, &who).map(|who| (who.uid, who.gid)),
        }
    }

    /// Changes where the next ones begin; the directory is made, if it is not there.
    fn workdir(&mut self, stage: &mut Stage, text: &str) -> Result<bool> {
        let path = stage.path(&stage.word(text)?);
        stage.config.set_working_dir(Some(path.clone()));
        let below = Stack::open(stage.dirs())?;
        let there = below.follow(path.as_ref())?.1;
        if there.is_some_and(|found| super::copy::is_directory(&found.stat)) {
            return Ok(false);
        }
        let user = stage.config.user().clone().filter(|user| !user.is_empty());
        let owner = user.map(|user| self.owner(stage, &below, &user)).transpose()?;
        let plan = Plan { to: path, owner, ..Plan::default() };
        self.lay(stage, &below, &plan, Ingest::begin(self.store)?)?;
        Ok(true)
    }

    /// One more layer of files that are copied; one of the same content is found again.
    fn lay(&mut self, stage: &mut Stage, below: &Stack, plan: &Plan, ingest: Ingest) -> Result<()> {
        // Not by their times: whoever gets the sources once more has other ones.
        let mut content = Hashed::new(sink());
        plan.write(below, 0, &mut content)?;
        let (_, content, _) = content.finish();
        let key = digest::of(format!("COPY {} {content}", stage.id()).as_bytes());
        if self.again(stage, &key)? {
            return Ok(());
        }
        let epoch = self.epoch;
        let write = |to: &mut dyn Write| plan.write(below, epoch, to);
        let packed = Packed::new(&ingest, "layer", write)?;
        stage.layers = Some(self.store.one_more(ingest, &key, stage.layers.as_ref(), packed)?);
        Ok(())
    }

    /// Takes the layer that was made of the same before.
    pub(super) fn again(&mut self, stage: &mut Stage, key: &Digest) -> Result<bool> {
        if self.options.no_cache {
            return Ok(false);
        }
        let Some(layers) = self.store.built(key)? else { return Ok(false) };
        (self.hands.say)(" ---> Using cache");
        stage.layers = Some(layers);
        Ok(true)
    }
}

/// Octal digits.
fn permissions(stage: &Stage, text: &str) -> Result<u32> {
    let text = stage.word(text)?;
    let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| Error::new(format!("--chmod={text}: only octal digits, such as 644")))
}
