//! Catalogue: not needed to understand the chapter.
//!
//! `spec`: a config.json to begin with, the one that runc writes.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use ch01_clone::{Context, Error, Result};
use ch03_cgroups::hierarchy::{Hierarchy, Kind};
use nix::unistd::{getegid, geteuid};

use super::args::Args;
use super::{Cli, SPECIFICATION};

const TEMPLATE: &str = include_str!("config.json");

pub(super) fn spec(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    let mut text = TEMPLATE.replace("@VERSION@", SPECIFICATION).replace("@NAME@", cli.name);
    // On v2 a container of its own cgroup namespace sees no path of the host's.
    let v2 = Hierarchy::probe().is_ok_and(|hierarchy| hierarchy.kind() == Kind::Unified);
    if v2 {
        text = text.replace(&namespace("uts"), &(namespace("uts") + &namespace("cgroup")));
    }
    if !cli.confines() {
        text = unconfined(&text);
    }
    if args.has("rootless") {
        text = rootless(&text);
    }
    let dir = args.value("bundle").map_or(Path::new("."), Path::new);
    let file = dir.join("config.json");
    let opened = OpenOptions::new().write(true).create_new(true).open(&file);
    match opened.and_then(|mut file| file.write_all(text.as_bytes())) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Error::new(format!("File {} exists. Remove it first", file.display())))
        }
        done => done.call(|| format!("open {file:?}")).map(|()| 0),
    }
}

/// For a program that would refuse what it cannot do.
fn unconfined(text: &str) -> String {
    let (before, capabilities) = text.split_once("\t\t\"capabilities\": {\n").unwrap_or((text, ""));
    let (_, after) = capabilities.split_once("\n\t\t},\n").unwrap_or_default();
    format!("{before}{after}").replace(",\n\t\t\"noNewPrivileges\": true", "")
}

fn namespace(kind: &str) -> String {
    format!("\t\t\t{{\n\t\t\t\t\"type\": \"{kind}\"\n\t\t\t}},\n")
}

/// For who has no more than a user namespace: its root is this user, the network
/// stays the host's, /sys therefore too, and there are no limits to set.
fn rootless(text: &str) -> String {
    let mapping = |kind: &str, id: u32| {
        format!(
            "\t\t\"{kind}\": [\n\t\t\t{{\n\t\t\t\t\"containerID\": 0,\n\
             \t\t\t\t\"hostID\": {id},\n\t\t\t\t\"size\": 1\n\t\t\t}}\n\t\t],\n"
        )
    };
    let mappings =
        mapping("uidMappings", geteuid().as_raw()) + &mapping("gidMappings", getegid().as_raw());
    let (before, resources) = text.split_once("\t\t\"resources\": {\n").unwrap_or((text, ""));
    let (_, after) = resources.split_once("\n\t\t},\n").unwrap_or_default();
    format!("{before}{mappings}{after}")
        .replace(&namespace("network"), &namespace("user"))
        .replace("\"mode=0620\",\n\t\t\t\t\"gid=5\"", "\"mode=0620\"")
        .replace(
            "\"type\": \"sysfs\",\n\t\t\t\"source\": \"sysfs\",\n\t\t\t\"options\": [\n",
            "\"type\": \"none\",\n\t\t\t\"source\": \"/sys\",\n\
             \t\t\t\"options\": [\n\t\t\t\t\"rbind\",\n",
        )
}
