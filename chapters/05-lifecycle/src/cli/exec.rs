//! Catalogue: not needed to understand the chapter.
//!
//! `exec`: one more program in a container.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ch01_clone::{Context, Error, Result, Signals};
use oci_spec::runtime::{Capabilities, LinuxCapabilities, Process, Spec};

use super::args::{Args, text};
use super::{Cli, create, names};
use crate::protect::protect;
use crate::{Exec, Status, given, relay};

pub(super) fn exec(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    protect()?;
    let containers = cli.runtime()?;
    let container = containers.open(args.id()?)?;
    let state = container.state()?;
    if !args.has("ignore-paused") && state.status == Status::Paused {
        return Err(Error::new(
            "cannot exec in a paused container (use --ignore-paused to override)",
        ));
    }
    let spec = container.spec()?;
    let process = process(args, &spec)?;
    let options = create::options(args)?;
    let (terminal, detach) = (process.terminal() == Some(true), args.has("detach"));
    let stdio = match detach {
        true => given::stdio(Some(&process), &options)?,
        false if options.console_socket.is_some() => return Err(create::no_use_of_socket()),
        false => create::ours(terminal),
    };
    let (cgroups, preserve_fds) = (cgroups(args)?, options.preserve_fds);
    let state = Some(&state);
    let what = Exec {
        spec: &spec,
        process: &process,
        stdio,
        cgroups,
        state,
        memory_policy: container.memory_policy()?,
        preserve_fds,
    };
    if detach {
        container.exec(&what, &options)?.child.leave();
        return Ok(0);
    }
    // Before there is a child: no signal is lost.
    let signals = Signals::catch()?.without_insisting();
    let started = container.exec(&what, &options)?;
    Ok(relay(started, signals, true)?.code())
}

/// What to run: from a file, or the container's own process with other arguments.
fn process(args: &Args, spec: &Spec) -> Result<Process> {
    if let Some(file) = args.value("process") {
        let json = fs::read(file).call(|| format!("open {file:?}"))?;
        return serde_json::from_slice(&json)
            .map_err(|error| Error::new(format!("{file:?}: {error}")));
    }
    let mut process =
        spec.process().clone().ok_or_else(|| Error::new("config.json has no process"))?;
    let command = args.operands[1..].iter().map(|word| text("COMMAND", word).map(String::from));
    let command = command.collect::<Result<Vec<_>>>()?;
    if command.is_empty() {
        return Err(Error::new("process args cannot be empty"));
    }
    process.set_args(Some(command));
    process.set_terminal(Some(args.has("tty")));
    if let Some(cwd) = args.value("cwd") {
        process.set_cwd(PathBuf::from(cwd));
    }
    environment(args, &mut process)?;
    identity(args, &mut process)?;
    rights(args, &mut process)?;
    Ok(process)
}

/// A variable that is given replaces the container's own: who looks it up finds
/// the first of two.
fn environment(args: &Args, process: &mut Process) -> Result<()> {
    let mut env = process.env().clone().unwrap_or_default();
    for variable in args.all("env") {
        let variable = text("env", variable)?;
        let Some((name, _)) = variable.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Error::new(format!("invalid environment variable: {variable:?}")));
        };
        env.retain(|old| old.split_once('=').map(|(name, _)| name) != Some(name));
        env.push(variable.to_owned());
    }
    process.set_env(Some(env));
    Ok(())
}

fn identity(args: &Args, process: &mut Process) -> Result<()> {
    let mut user = process.user().clone();
    if let Some(text) = args.text("user")? {
        names::user(&mut user, text)?;
    }
    let mut groups = user.additional_gids().clone().unwrap_or_default();
    for gid in args.all("additional-gids") {
        let gid = text("additional-gids", gid)?;
        groups.push(gid.parse().map_err(|_| Error::new(format!("{gid:?} is not a gid")))?);
    }
    user.set_additional_gids(Some(groups).filter(|groups| !groups.is_empty()));
    process.set_user(user);
    Ok(())
}

/// What it may do: capabilities and labels.
fn rights(args: &Args, process: &mut Process) -> Result<()> {
    let more = args.all("cap").map(|name| text("cap", name).and_then(names::capability));
    let more = more.collect::<Result<Vec<_>>>()?;
    if !more.is_empty() {
        let mut all = process.capabilities().clone().unwrap_or_else(none);
        let with = |old: &Option<Capabilities>| {
            Some(old.iter().flatten().chain(&more).copied().collect::<Capabilities>())
        };
        all.set_bounding(with(all.bounding()));
        all.set_effective(with(all.effective()));
        all.set_permitted(with(all.permitted()));
        // Ambient ones must be inheritable; runc adds them only where some are.
        if all.inheritable().as_ref().is_some_and(|set| !set.is_empty()) {
            all.set_ambient(with(all.ambient()));
        }
        process.set_capabilities(Some(all));
    }
    if args.value("no-new-privs").is_some() {
        process.set_no_new_privileges(Some(args.has("no-new-privs")));
    }
    if let Some(profile) = args.text("apparmor")? {
        process.set_apparmor_profile(Some(profile.to_owned()));
    }
    if let Some(label) = args.text("process-label")? {
        process.set_selinux_label(Some(label.to_owned()));
    }
    Ok(())
}

/// Where below the container's cgroup it runs, by controller: `[CONTROLLER,...:]PATH`.
fn cgroups(args: &Args) -> Result<BTreeMap<String, PathBuf>> {
    let invalid = |why: String| Err(Error::new(format!("invalid --cgroup argument: {why}")));
    let mut paths = BTreeMap::new();
    let given = args.all("cgroup").map(|given| text("cgroup", given));
    let given = given.collect::<Result<Vec<_>>>()?;
    for one in &given {
        let Some((controllers, path)) = one.split_once(':') else {
            if given.len() > 1 {
                return invalid(format!("{one} (missing <controller>: prefix)"));
            }
            return Ok(BTreeMap::from([(String::new(), PathBuf::from(one))]));
        };
        for controller in controllers.split(',') {
            if controller.is_empty() {
                return invalid(format!("{one} (empty <controller> prefix)"));
            }
            if paths.insert(controller.to_owned(), PathBuf::from(path)).is_some() {
                return invalid(format!("controller {controller} specified multiple times"));
            }
        }
    }
    Ok(paths)
}

/// No capability at all. (The default of the type is a few.)
fn none() -> LinuxCapabilities {
    let mut all = LinuxCapabilities::default();
    all.set_bounding(None);
    all.set_effective(None);
    all.set_inheritable(None);
    all.set_permitted(None);
    all.set_ambient(None);
    all
}
