//! From a container to an image: what it has written becomes a layer, and what it was told
//! becomes what the image says of itself.

use std::collections::HashSet;
use std::time::SystemTime;

use ch01_clone::Result;
use ch06_images::build::change;
use ch06_images::{Image, time};
use nix::sys::signal::Signal;
use serde_json::{Map, Value, json};

use super::Engine;
use super::health::HealthCheck;
use super::record::{Record, Status};
use super::signals;

/// What is to be said of the new image.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Who has made it.
    pub author: Option<String>,
    /// A sentence for its history.
    pub message: Option<String>,
    /// Instructions that change its configuration.
    pub changes: Vec<String>,
    /// Whether the container stands still meanwhile; if not said: where that can be.
    pub pause: Option<bool>,
    /// Its name, if it gets one.
    pub name: Option<String>,
}

/// What an image says of itself: docker's object, which is the OCI's and some more.
pub type Config = Map<String, Value>;

/// Whether there is a signal of the name that an image says.
pub fn stop_signal(config: &Config) -> Result<()> {
    let name = config.get("StopSignal").and_then(Value::as_str);
    name.map_or(Ok(()), |name| signals::number(name).map(drop))
}

/// A later variable takes an earlier one's place.
fn set_variable(config: &mut Config, name: &str, value: &str) {
    let list = config.entry("Env").or_insert(Value::Null);
    let mut all = list.as_array().cloned().unwrap_or_default();
    let new = json!(format!("{name}={value}"));
    let same =
        |old: &&mut Value| old.as_str().is_some_and(|old| old.split('=').next() == Some(name));
    match all.iter_mut().find(same) {
        Some(old) => *old = new,
        None => all.push(new),
    }
    *list = json!(all);
}

impl Engine {
    /// Makes an image of a container.
    ///
    /// # Errors
    /// An instruction that is none, an image that has gone meanwhile, no room.
    pub fn commit(&self, text: &str, commit: &Commit) -> Result<Image> {
        let id = self.find(text)?;
        let record = self.known(&id, text)?;
        let base = self.store().look(&record.image_id)?;
        let mut document = self.store().document(&base)?;
        let mut config = own_config(&record, &document);
        change(&mut config, &commit.changes)?;
        stop_signal(&config)?;
        let now = time::to_text(SystemTime::now());
        let mut history = document["history"].as_array().cloned().unwrap_or_default();
        history.push(line(&record, commit, &now));
        document["created"] = json!(now);
        document["author"] = json!(commit.author);
        document["config"] = config.into();
        document["history"] = json!(history);
        if let Some(document) = document.as_object_mut() {
            document.retain(|_, value| !value.is_null());
        }
        // Nobody starts it meanwhile.
        let _held = if record.lives() { None } else { self.hold(&id)? };
        let paused = self.stands_still(&record, commit.pause)?;
        let upper = self.container(&id).join("upper");
        let made = self.store().add_layer(&base, &upper, &document, commit.name.as_deref());
        let goes_on = if paused { self.pause(&id, false) } else { Ok(()) };
        let image = made?;
        goes_on?;
        self.note(&record, "commit");
        Ok(image)
    }

    /// Has it stand still, if it runs and that is wanted; whether it goes on afterwards.
    fn stands_still(&self, record: &Record, wanted: Option<bool>) -> Result<bool> {
        if record.status != Status::Running || record.paused || wanted == Some(false) {
            return Ok(false);
        }
        if wanted.is_none() && self.cgroup_of(record)?.is_none() {
            return Ok(false);
        }
        self.pause(&record.id, true).map(|()| true)
    }
}

fn line(record: &Record, commit: &Commit, now: &str) -> Value {
    let mut line = json!({ "created": now, "created_by": record.command.join(" ") });
    let said = [("author", &commit.author), ("comment", &commit.message)];
    for (key, text) in said.into_iter().filter_map(|(key, text)| Some((key, text.as_ref()?))) {
        line[key] = json!(text);
    }
    line
}

/// What the image of the container says of itself, and over it what the user has said.
fn own_config(record: &Record, document: &Value) -> Config {
    let mut config = document["config"].as_object().cloned().unwrap_or_default();
    let plan = &record.plan;
    for variable in &plan.env {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        set_variable(&mut config, name, value);
    }
    let mut set = |key: &str, value: Value| drop(config.insert(key.to_owned(), value));
    plan.user.iter().for_each(|user| set("User", json!(user)));
    plan.workdir.iter().for_each(|dir| set("WorkingDir", json!(dir)));
    set("Entrypoint", json!(plan.entrypoint));
    set("Cmd", json!(record.command.get(plan.entrypoint.len()..).unwrap_or_default()));
    set("Labels", json!(plan.labels));
    let said =
        document["config"]["StopSignal"].as_str().and_then(|name| signals::number(name).ok());
    if said.unwrap_or(nix::libc::SIGTERM) != plan.stop_signal {
        let name = Signal::try_from(plan.stop_signal).map(Signal::as_str);
        set("StopSignal", name.map_or(json!(plan.stop_signal.to_string()), |name| json!(name)));
    }
    match &plan.health {
        Some(check) => set("Healthcheck", json!(check)),
        None if document["config"]["Healthcheck"].is_object() => {
            let none = HealthCheck { test: vec!["NONE".to_owned()], ..HealthCheck::default() };
            set("Healthcheck", json!(none));
        }
        None => {}
    }
    let volumes = plan.mounts.iter().filter(|point| point.anonymous);
    let mut all = document["config"]["Volumes"].as_object().cloned().unwrap_or_default();
    all.extend(volumes.map(|point| (point.destination.display().to_string(), json!({}))));
    set("Volumes", all.into());
    // What says nothing is not there.
    let empty = |value: &Value| {
        value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty)
    };
    let said: HashSet<_> = ["Entrypoint", "Cmd", "Labels", "Volumes"].into();
    config.retain(|key, value| !said.contains(key.as_str()) || !empty(value));
    config
}
