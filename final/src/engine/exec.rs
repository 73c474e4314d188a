//! One more process in a container that runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ch01_clone::{Context, Error, Result};
use ch02_chroot::Root;
use ch05_lifecycle::launch::Started;
use ch05_lifecycle::{Exec, Stdio, exec, pty};
use ch06_images::identity;
use ch07_confine::credentials;
use oci_spec::runtime::Spec;
use serde_json::json;

use super::Engine;
use super::record::Status;

/// What the user asked for: `dockster exec`, parsed.
#[derive(Debug, Clone, Default)]
pub struct ExecOptions {
    /// The container.
    pub container: String,
    /// What to run.
    pub command: Vec<String>,
    /// Our standard input is its own.
    pub interactive: bool,
    /// It gets a terminal of its own.
    pub terminal: bool,
    /// Nobody stays with it.
    pub detached: bool,
    /// Variables, as `NAME=value`, beside those of the container.
    pub env: Vec<String>,
    /// Where it starts, if not where the container does.
    pub workdir: Option<PathBuf>,
    /// Who it runs as, if not who the container does.
    pub user: Option<String>,
}

impl Engine {
    /// Starts it: it runs when this returns, a child of ours.
    pub fn exec(&self, options: &ExecOptions) -> Result<Started> {
        let id = self.find(&options.container)?;
        let record = self.known(&id, &options.container)?;
        let init = record.init.filter(|init| record.status == Status::Running && init.alive());
        let Some(init) = init else {
            return Err(Error::new(format!("container {id} is not running")));
        };
        if record.paused {
            return Err(Error::new(format!(
                "Container {} is paused, unpause the container before exec",
                options.container
            )));
        }
        let path = self.container(&id).join("config.json");
        let broken = |error: String| Error::new(format!("{path:?}: {error}"));
        let text = std::fs::read(&path).call(|| format!("read({path:?})"))?;
        let mut value: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        let process = &mut value["process"];
        process["args"] = json!(options.command);
        process["terminal"] = json!(options.terminal);
        let mut env: Vec<String> =
            serde_json::from_value(process["env"].take()).unwrap_or_default();
        if let Some(user) = &options.user {
            // By the container's own files, as they are now.
            let root = Root::open(format!("/proc/{}/root", init.pid).as_ref())?;
            let user = identity(&root.into(), user)?;
            process["user"] =
                json!({ "uid": user.uid, "gid": user.gid, "additionalGids": user.groups });
            set(&mut env, format!("HOME={}", user.home));
        }
        if options.terminal && !env.iter().any(|variable| variable.starts_with("TERM=")) {
            env.push("TERM=xterm".to_owned());
        }
        options.env.iter().for_each(|variable| set(&mut env, variable.clone()));
        process["env"] = json!(env);
        if let Some(dir) = &options.workdir {
            if !dir.is_absolute() {
                return Err(Error::new(format!(
                    "the working directory {dir:?} is invalid, it needs to be an absolute path"
                )));
            }
            process["cwd"] = json!(dir);
        }
        let spec: Spec =
            serde_json::from_value(value).map_err(|error| broken(error.to_string()))?;
        let process = spec.process().as_ref().ok_or_else(|| broken("no process".to_owned()))?;
        let (rows, columns) = pty::size();
        let stdio = match (options.detached, options.terminal) {
            (true, _) => Stdio::Inherit,
            (false, true) => Stdio::Terminal { rows, columns },
            (false, false) => Stdio::Pipes { stdin: options.interactive },
        };
        let what = Exec {
            spec: &spec,
            process,
            stdio,
            cgroups: BTreeMap::new(),
            state: None,
            memory_policy: None,
            preserve_fds: 0,
        };
        let cgroup = self.cgroup_of(&record)?;
        let started = exec(&what, init, cgroup.as_ref(), credentials::prepare);
        self.note(&record, "exec_start");
        started
    }
}

/// A later one replaces an earlier one of the same name.
fn set(env: &mut Vec<String>, variable: String) {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    env.retain(|earlier| name(earlier) != name(&variable));
    env.push(variable);
}
