//! The mounts of an OCI configuration, as chapter 2 makes them.

use ch01_clone::{Error, Result};
use std::path::PathBuf;

use ch02_chroot::{Attributes, Mount, Rootfs, Source, Tree};
use oci_spec::runtime::{self, Spec};

/// The root that a configuration describes.
pub(crate) fn rootfs(spec: &Spec, tree: Tree) -> Result<Rootfs> {
    let linux = spec.linux().as_ref();
    let paths = |list: Option<&Option<Vec<String>>>| -> Vec<PathBuf> {
        list.and_then(Option::as_ref).into_iter().flatten().map(PathBuf::from).collect()
    };
    Ok(Rootfs {
        tree,
        mounts: spec.mounts().iter().flatten().map(mount).collect::<Result<_>>()?,
        masked: paths(linux.map(|linux| linux.masked_paths())),
        read_only_paths: paths(linux.map(|linux| linux.readonly_paths())),
        read_only: spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false),
    })
}

/// One mount; an option that is not honoured is refused.
pub(crate) fn mount(mount: &runtime::Mount) -> Result<Mount> {
    let mut attributes = Attributes::default();
    let (mut bind, mut own) = (mount.typ().as_deref() == Some("bind"), Vec::new());
    for option in mount.options().iter().flatten() {
        match option.as_str() {
            "bind" | "rbind" => bind = true,
            "ro" | "rro" => attributes.read_only = true,
            "rw" => attributes.read_only = false,
            "nosuid" => attributes.nosuid = true,
            "suid" => attributes.nosuid = false,
            "nodev" => attributes.nodev = true,
            "dev" => attributes.nodev = false,
            "noexec" => attributes.noexec = true,
            "exec" => attributes.noexec = false,
            // What every mount is, in a mount namespace that is cut off from the host's.
            "private" | "rprivate" | "relatime" | "defaults" => {}
            "shared" | "rshared" | "slave" | "rslave" | "unbindable" | "runbindable" => {
                return Err(not_yet(mount, option));
            }
            other => own.push(other.to_owned()),
        }
    }
    let source = match (bind, mount.typ()) {
        (true, _) if !own.is_empty() => return Err(not_yet(mount, &own[0])),
        (true, _) => Source::Bind(mount.source().clone().unwrap_or_default()),
        (false, Some(kind)) => Source::New { kind: kind.clone(), options: own },
        (false, None) => {
            return Err(Error::new(format!("{:?}: a mount without a type", mount.destination())));
        }
    };
    Ok(Mount { target: mount.destination().clone(), source, attributes })
}

fn not_yet(mount: &runtime::Mount, option: &str) -> Error {
    Error::new(format!("{:?}: the mount option {option:?} is not supported", mount.destination()))
}

/// The other way round: a mount of chapter 2 as a configuration names it.
pub fn describe(mount: &Mount) -> runtime::Mount {
    let flags = mount.attributes;
    let flags = [
        (flags.read_only, "ro"),
        (flags.nosuid, "nosuid"),
        (flags.nodev, "nodev"),
        (flags.noexec, "noexec"),
    ];
    let mut options: Vec<_> =
        flags.iter().filter(|(on, _)| *on).map(|(_, name)| (*name).to_owned()).collect();
    let (kind, source) = match &mount.source {
        Source::Bind(path) => {
            options.push("rbind".to_owned());
            ("bind".to_owned(), path.clone())
        }
        Source::New { kind, options: own } => {
            options.extend(own.iter().cloned());
            (kind.clone(), kind.into())
        }
    };
    let mut described = runtime::Mount::default();
    described.set_destination(mount.target.clone());
    described.set_typ(Some(kind));
    described.set_source(Some(source));
    described.set_options(Some(options));
    described
}
