//! Catalogue: not needed to understand the chapter.
//!
//! RUN: what a program is given, and the layer of what it has changed.

use std::io::Write;

use ch01_clone::{Error, Result};
use serde_json::json;

use super::builder::{Builder, is_proxy};
use super::dockerfile::announced;
use super::instruction::Command;
use super::layer::Packed;
use super::mounts::{Asked, Extra};
use super::stage::Stage;
use super::stages::Step;
use super::{Failure, Net, Program, mounts};
use crate::ingest::Ingest;
use crate::stack::Stack;
use crate::{archive, digest};

impl Builder<'_, '_> {
    /// The words of RUN; of a here-document alone the text is what the shell is given.
    pub(super) fn program(
        &self,
        stage: &Stage,
        command: &Command,
        step: &Step,
    ) -> Result<Vec<String>> {
        let (Command::Shell(text), [first, ..]) = (command, &*step.line.documents) else {
            return Ok(stage.command(command));
        };
        let alone = step.line.documents.len() == 1 && announced(text.trim()).is_some();
        let mut script = String::new();
        if alone && first.text.starts_with("#!") {
            return Err(Error::new("a here-document with an interpreter of its own cannot be run")
                .hint("name the interpreter before it: RUN python3 <<EOF"));
        } else if alone {
            script += &first.text;
        } else {
            script += &format!("{text}\n");
            for document in &step.line.documents {
                script += &format!("{}{}\n", document.text, document.name);
            }
        }
        Ok(stage.command(&Command::Shell(script)))
    }

    /// What network RUN gets that says this.
    pub(super) fn network(&self, said: Net) -> Result<Net> {
        let (whole, allowed) = (self.options.network, self.options.host_allowed);
        match said {
            Net::Default => Ok(whole),
            // Whoever has written the Dockerfile is not who builds it.
            Net::Host if whole != Net::Host && !allowed => {
                Err(Error::new("RUN --network=host is not allowed: it is the network of this host")
                    .hint("dockster build --allow network.host"))
            }
            said => Ok(said),
        }
    }

    pub(super) fn run(
        &mut self,
        stage: &mut Stage,
        args: &[String],
        asked: &[Asked],
        network: Net,
    ) -> Result<(), Failure> {
        let Some(layers) = stage.layers.clone() else {
            return Err(Error::new("there is nothing to run: the stage is empty").into());
        };
        let mut env: Vec<String> = Vec::new();
        let known = stage.env();
        let set = |name: &str| known.iter().any(|pair| pair.split('=').next() == Some(name));
        let args_of_it = stage.args.iter().filter(|(name, _)| !set(name));
        env.extend(args_of_it.map(|(name, value)| format!("{name}={value}")));
        let mut extras: Vec<Extra> = Vec::new();
        for asked in asked {
            let target = stage.path(&stage.word(&asked.target)?);
            extras.extend(asked.at(self.store, &self.options.secrets, &target)?);
        }
        // What is in a cache, or secret, is no part of it: that is the point of one.
        let targets: Vec<_> = extras.iter().map(|extra| &extra.target).collect();
        let key = json!({
            "mounts": targets,
            "below": stage.id(),
            "run": args,
            "network": format!("{network:?}"),
            "env": known,
            "args": env,
            "user": stage.config.user(),
            "workdir": stage.config.working_dir(),
        });
        let key = digest::of(format!("RUN {key}").as_bytes());
        if self.again(stage, &key)? {
            return Ok(());
        }
        // What they are is no part of what is made.
        let proxies = self.options.args.iter().filter(|(name, _)| is_proxy(name) && !set(name));
        env.extend(proxies.map(|(name, value)| format!("{name}={value}")));
        let mut image = layers.image.clone();
        let mut config = stage.config.clone();
        // What is in a volume would not be in the layer.
        config.set_volumes(None);
        image.config.set_config(Some(config));
        let ingest = Ingest::begin(self.store)?;
        let points = mounts::points(&Stack::open(layers.dirs())?, &extras)?;
        let (mut packed, epoch) = (None, self.epoch);
        let program = Program { image: &image, args, env: &env, extras: &extras, network };
        let status = (self.hands.run)(&program, &mut |upper| {
            mounts::without(upper, &points)?;
            let write = |to: &mut dyn Write| archive::write_layer(upper, Some(epoch), to);
            packed = Some(Packed::new(&ingest, "layer", write)?);
            Ok(())
        })?;
        match packed {
            Some(packed) if status == 0 => {
                stage.layers = Some(self.store.one_more(ingest, &key, Some(&layers), packed)?);
                Ok(())
            }
            _ => {
                let command = args.join(" ");
                let text = format!("The command '{command}' returned a non-zero code: {status}");
                Err(Failure { error: Error::new(text), status: Some(status) })
            }
        }
    }
}
