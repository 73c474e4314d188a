//! `-v`, `--mount` and `--tmpfs`: what is mounted in a container, as docker spells it.

use std::path::Path;

use anyhow::{Context, Result, bail};
use ch02_chroot::options::{clean, tmpfs_mount};
use ch02_chroot::{Attributes, Mount};

use crate::engine::points::{Wanted, What};

/// `[NAME:|SOURCE:]TARGET[:OPTIONS]`. A source with a slash is a path of the host's, any
/// other is the name of a volume.
pub fn volume(text: &str) -> Result<Wanted> {
    let fields: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match fields[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, mode] => (Some(source), target, mode),
        _ => bail!("{text:?}: a volume is SOURCE:TARGET[:ro]"),
    };
    if source == Some("") || !target.starts_with('/') {
        bail!("{text:?}: a volume is SOURCE:TARGET[:ro], and TARGET is an absolute path inside");
    }
    let (mut read_only, mut copy) = (false, true);
    for word in mode.split(',').filter(|_| !mode.is_empty()) {
        match word {
            "ro" => read_only = true,
            "rw" => read_only = false,
            "nocopy" => copy = false,
            _ => bail!("{text:?}: a volume is SOURCE:TARGET[:ro], and {word:?} is no mode of one"),
        }
    }
    let (what, source) = match source {
        Some(path) if path.contains('/') => (What::Bind { make: true }, absolute(path)?),
        name => (What::Volume { name: name.map(str::to_owned), copy }, "".into()),
    };
    let mut mount = Mount::bind(source, clean(target)?);
    mount.attributes = Attributes { read_only, ..Attributes::default() };
    Ok(Wanted { what, mount, mode: mode.to_owned() })
}

/// A relative path is one from here.
fn absolute(path: &str) -> Result<std::path::PathBuf> {
    match path.starts_with('.') {
        true => Ok(std::path::absolute(path).with_context(|| format!("{path:?}"))?),
        false if path.starts_with('/') => Ok(path.into()),
        false => {
            bail!("{path:?}: the source of a volume is a name, or a path that starts with / or .")
        }
    }
}

/// `TARGET[:OPTIONS]`.
pub fn tmpfs(text: &str) -> Result<Wanted> {
    Ok(Wanted { what: What::Tmpfs, mount: tmpfs_mount(text)?, mode: String::new() })
}

/// `type=volume,source=NAME,target=PATH,readonly`, and so on.
pub fn mount(text: &str) -> Result<Wanted> {
    let (mut kind, mut source, mut target) = ("volume", None, None);
    let (mut read_only, mut copy, mut memory) = (false, true, Vec::new());
    for field in text.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, "true"));
        let yes = || match value {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => bail!("invalid value for {key}: {value}"),
        };
        match key {
            "type" => kind = value,
            "source" | "src" => source = Some(value),
            "target" | "dst" | "destination" => target = Some(value),
            "readonly" | "ro" => read_only = yes()?,
            "volume-nocopy" => copy = !yes()?,
            "tmpfs-size" => memory.push(format!("size={value}")),
            "tmpfs-mode" => memory.push(format!("mode={value}")),
            "bind-propagation" if matches!(value, "rprivate" | "private") => {}
            _ => bail!(
                "invalid argument \"{text}\" for \"--mount\" flag: unexpected key '{key}' in '{field}'"
            ),
        }
    }
    let Some(target) = target.filter(|target| target.starts_with('/')) else {
        bail!("invalid argument \"{text}\" for \"--mount\" flag: target is required, and absolute");
    };
    let mode = if read_only { "ro" } else { "" }.to_owned();
    let (what, source) = match (kind, source) {
        ("volume", name) => (What::Volume { name: name.map(str::to_owned), copy }, "".into()),
        ("bind", Some(path)) => (What::Bind { make: false }, std::path::absolute(path)?),
        ("bind", None) => {
            bail!("invalid argument \"{text}\" for \"--mount\" flag: source is required")
        }
        ("tmpfs", None) => {
            memory.extend(read_only.then(|| "ro".to_owned()));
            return tmpfs(&format!("{target}:{}", memory.join(",")));
        }
        ("tmpfs", Some(_)) => {
            bail!("invalid mount config for type \"tmpfs\": a tmpfs has no source")
        }
        (other, _) => bail!(
            "invalid argument \"{text}\" for \"--mount\" flag: type {other:?} is not known: bind, volume or tmpfs"
        ),
    };
    if kind == "bind" && !Path::new(&source).exists() {
        bail!(
            "invalid mount config for type \"bind\": bind source path does not exist: {}",
            source.display()
        );
    }
    let mut mount = Mount::bind(source, clean(target)?);
    mount.attributes = Attributes { read_only, ..Attributes::default() };
    Ok(Wanted { what, mount, mode })
}
