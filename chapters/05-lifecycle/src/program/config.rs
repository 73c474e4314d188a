//! Catalogue: not needed to understand the chapter.
//!
//! From options to an OCI configuration: what somebody who drives a runtime writes.

use std::ffi::OsString;

use ch01_clone::options::{NamespaceArgs, environment};
use ch01_clone::{Error, IdMaps, IdRange, Namespace, Result};
use ch02_chroot::Rootfs;
use ch03_cgroups::Limits;
use ch05_lifecycle::{Bundle, mounts, resources};
use serde_json::{Value, json};

use super::Run;
use crate::NAME;

/// The bundle: there is no file, and its directory is the one that we are in.
pub(super) fn bundle(run: Run, limits: &Limits) -> Result<Bundle> {
    let dir = std::env::current_dir().map_err(|error| Error::new(format!("getcwd: {error}")))?;
    let args = run.command.into_iter().map(text).collect::<Result<Vec<_>>>()?;
    let rootfs = run.rootfs.rootfs(run.directory.clone(), &run.namespaces)?;
    let mut config = json!({
        "ociVersion": "1.2.0",
        "process": {
            "terminal": run.tty,
            "user": { "uid": 0, "gid": 0 },
            "args": args,
            // A configuration is UTF-8: a variable that is not stays outside.
            "env": environment(NAME).into_iter().flat_map(text).collect::<Vec<_>>(),
            "cwd": "/",
        },
        "root": { "path": run.directory, "readonly": rootfs.read_only },
        "hostname": run.namespaces.hostname_or(NAME),
        "mounts": rootfs.mounts.iter().map(mounts::describe).collect::<Vec<_>>(),
        "linux": linux(&run.namespaces, &rootfs),
    });
    if *limits != Limits::default() {
        config["linux"]["resources"] = resources::describe(limits);
    }
    let spec =
        serde_json::from_value(config).map_err(|error| Error::new(format!("config: {error}")))?;
    Ok(Bundle { dir, spec, tree: rootfs.tree, memory_policy: None })
}

fn linux(namespaces: &NamespaceArgs, rootfs: &Rootfs) -> Value {
    let ids = namespaces.ids().unwrap_or_default();
    let wanted = namespaces.namespaces();
    let offset = namespaces.clock_offset.map(|seconds| json!({ "secs": seconds, "nanosecs": 0 }));
    let kinds = Namespace::ALL
        .into_iter()
        .filter(|kind| wanted.has(*kind) || (*kind == Namespace::Time && offset.is_some()));
    json!({
        "namespaces": kinds.map(|kind| json!({ "type": name(kind) })).collect::<Vec<_>>(),
        "uidMappings": ranges(&ids, |ids| &ids.uids),
        "gidMappings": ranges(&ids, |ids| &ids.gids),
        "timeOffsets": offset.map(|offset| json!({ "monotonic": offset, "boottime": offset })),
        "maskedPaths": rootfs.masked,
        "readonlyPaths": rootfs.read_only_paths,
    })
}

fn ranges(ids: &IdMaps, of: fn(&IdMaps) -> &Vec<IdRange>) -> Vec<Value> {
    let range = |range: &IdRange| {
        json!({
            "containerID": range.inside, "hostID": range.outside, "size": range.count,
        })
    };
    of(ids).iter().map(range).collect()
}

/// As config-linux.md calls them.
fn name(kind: Namespace) -> &'static str {
    match kind {
        Namespace::Net => "network",
        Namespace::Mount => "mount",
        kind => kind.file(),
    }
}

fn text(word: OsString) -> Result<String> {
    word.into_string().map_err(|word| Error::new(format!("{word:?} is not UTF-8")))
}
