//! From an image and what the user asked for to an OCI configuration.

use std::path::{Path, PathBuf};

use ch01_clone::{Error, IdMaps, Result};
use ch02_chroot::mask::{MASKED, READ_ONLY};
use ch02_chroot::{Mount, devices};
use ch05_lifecycle::mounts::describe;
use ch05_lifecycle::resources;
use ch06_images::{Image, Stack, identity};
use oci_spec::runtime::Spec;
use serde_json::json;

use super::containers::RunOptions;
use super::wire::Mode;

/// The search path where neither image nor user names one; docker's.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The configuration of a new container.
pub fn spec(
    options: &RunOptions,
    image: &Image,
    id: &str,
    args: &[String],
    more: &[&Mount],
) -> Result<Spec> {
    let config = image.config.config().clone().unwrap_or_default();
    let user = options.user.as_deref().or(config.user().as_deref()).unwrap_or("");
    let user = identity(&Stack::open(&image.layers)?, user)?;
    let hostname = options.hostname.clone().filter(|name| !name.is_empty());
    let hostname = hostname.unwrap_or_else(|| id[..12].to_owned());
    let workdir = options.workdir.clone().or(config.working_dir().as_ref().map(PathBuf::from));
    let cwd = workdir.filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| "/".into());
    if !cwd.is_absolute() {
        return Err(Error::new(format!(
            "the working directory {cwd:?} is invalid, it needs to be an absolute path"
        )));
    }
    let env =
        environment(options, config.env().as_deref().unwrap_or_default(), &hostname, &user.home);
    let network = options.wire.is_own().then_some("network");
    let namespaces = ["mount", "pid", "uts", "ipc", "cgroup"].into_iter().chain(network);
    let namespaces: Vec<_> = namespaces.map(|kind| json!({ "type": kind })).collect();
    let spec = json!({
        "ociVersion": "1.2.0",
        "root": { "path": "merged", "readonly": options.read_only },
        "hostname": hostname,
        "process": {
            "terminal": options.terminal,
            "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.groups },
            "args": args,
            "env": env,
            "cwd": cwd,
        },
        "mounts": mounts(options, more)?,
        "linux": {
            "namespaces": namespaces,
            "resources": resources::describe(&options.limits),
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    });
    serde_json::from_value(spec).map_err(|error| Error::new(format!("config.json: {error}")))
}

/// What runs: the image's entry point, and the user's words or the image's own.
pub fn command(options: &RunOptions, image: &Image) -> Result<Vec<String>> {
    let config = image.config.config().clone().unwrap_or_default();
    let mut args = options.entrypoint.clone().or(config.entrypoint().clone()).unwrap_or_default();
    match options.command.is_empty() {
        // Another way in makes the image's own words meaningless.
        true if options.entrypoint.is_some() => {}
        true => args.extend(config.cmd().clone().unwrap_or_default()),
        false => args.extend(options.command.iter().cloned()),
    }
    match args.is_empty() {
        false => Ok(args),
        true => Err(Error::new("No command specified")
            .hint("name one after the image: `dockster run IMAGE sh`")),
    }
}

/// The defaults, then the image's, then the user's; a later one replaces an earlier one.
fn environment(options: &RunOptions, image: &[String], hostname: &str, home: &str) -> Vec<String> {
    let mut all: Vec<String> =
        vec![PATH.to_owned(), format!("HOSTNAME={hostname}"), format!("HOME={home}")];
    all.extend(options.terminal.then(|| "TERM=xterm".to_owned()));
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    for variable in image.iter().chain(&options.env) {
        all.retain(|earlier| name(earlier) != name(variable));
        all.push(variable.clone());
    }
    all
}

fn mounts(options: &RunOptions, more: &[&Mount]) -> Result<Vec<oci_spec::runtime::Mount>> {
    let mut usual = devices::default_mounts(&IdMaps::current()?);
    if options.wire.mode == Mode::Host && devices::in_user_namespace() {
        // A sysfs belongs to a network, and the host's is not ours: its own is bound.
        for sys in usual.iter_mut().filter(|mount| mount.target == Path::new("/sys")) {
            *sys = Mount { attributes: sys.attributes, ..Mount::bind("/sys", "/sys") };
        }
    }
    Ok(usual.iter().chain(more.iter().copied()).map(describe).collect())
}
