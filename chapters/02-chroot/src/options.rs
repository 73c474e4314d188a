//! Catalogue: not needed to understand the chapter.
//!
//! The options of chapter 2, for its program and those that build on it.

use std::path::{Component, Path, PathBuf};

use ch01_clone::options::NamespaceArgs;
use ch01_clone::{Error, IdMaps, Result};
use clap::Args;

use crate::mount::{Attributes, Mount};
use crate::rootfs::{Rootfs, Tree};

/// Options about the root file system.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Root file system")]
pub struct RootfsArgs {
    /// Bind a path of the host: `SOURCE:TARGET[:ro]`
    #[arg(short = 'v', long = "volume", value_name = "BIND")]
    pub volumes: Vec<String>,
    /// Mount an empty tmpfs: `TARGET[:OPTIONS]`
    #[arg(long, value_name = "TMPFS")]
    pub tmpfs: Vec<String>,
    /// Make / read-only
    #[arg(long)]
    pub read_only: bool,
    /// Leave ROOTFS as it is, and throw away what is written
    #[arg(long)]
    pub overlay: bool,
    /// The same, but DIR keeps what is written
    #[arg(long, value_name = "DIR")]
    pub upper: Option<PathBuf>,
}

impl RootfsArgs {
    /// The root file system that these options and a directory make.
    pub fn rootfs(&self, directory: PathBuf, namespaces: &NamespaceArgs) -> Result<Rootfs> {
        namespaces.own_mounts()?;
        let ids = namespaces.ids().map_or_else(IdMaps::current, Ok)?;
        let tree = match self.overlay || self.upper.is_some() {
            true => Tree::Overlay {
                lowers: vec![directory],
                kept: self.upper.clone(),
                volatile: self.upper.is_none(),
            },
            false => Tree::Directory(directory),
        };
        let mut rootfs = Rootfs::new(tree, &ids);
        for volume in &self.volumes {
            rootfs.mounts.push(volume_mount(volume)?);
        }
        for tmpfs in &self.tmpfs {
            rootfs.mounts.push(tmpfs_mount(tmpfs)?);
        }
        rootfs.read_only = self.read_only;
        Ok(rootfs)
    }
}

/// `SOURCE:TARGET[:ro|rw]`, the target absolute, the source a path of the host's.
pub fn volume_mount(text: &str) -> Result<Mount> {
    let wrong = || Error::new(format!("{text:?}: a volume is SOURCE:TARGET[:ro]"));
    let mut fields = text.split(':');
    let (Some(source), Some(target)) = (fields.next(), fields.next()) else { return Err(wrong()) };
    let read_only = match (fields.next(), fields.next()) {
        (None | Some("rw"), None) => false,
        (Some("ro"), None) => true,
        _ => return Err(wrong()),
    };
    if source.is_empty() || !target.starts_with('/') {
        return Err(wrong().hint("TARGET is an absolute path inside"));
    }
    let mut mount = Mount::bind(source, clean(target)?);
    mount.attributes = Attributes { read_only, ..Attributes::default() };
    Ok(mount)
}

/// `TARGET[:OPTIONS]`: as docker, nosuid, nodev and noexec unless said otherwise.
pub fn tmpfs_mount(text: &str) -> Result<Mount> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    if !target.starts_with('/') {
        return Err(Error::new(format!("{text:?}: a tmpfs is TARGET[:OPTIONS], TARGET absolute")));
    }
    let mut attributes = Attributes::DATA;
    let mut own = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "rw" => attributes.read_only = false,
            "ro" => attributes.read_only = true,
            "exec" => attributes.noexec = false,
            "noexec" => attributes.noexec = true,
            "suid" => attributes.nosuid = false,
            "nosuid" => attributes.nosuid = true,
            "dev" => attributes.nodev = false,
            "nodev" => attributes.nodev = true,
            other => own.push(other),
        }
    }
    let mut mount = Mount::new("tmpfs", target, &own, attributes);
    mount.target = clean(target)?;
    Ok(mount)
}

/// A target without `.` and `..`, as docker cleans it. (What its links do is
/// for the lookup inside the root.) The root itself is none.
pub fn clean(target: &str) -> Result<PathBuf> {
    let mut cleaned = PathBuf::from("/");
    for part in Path::new(target).components() {
        match part {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => drop(cleaned.pop()),
            _ => {}
        }
    }
    match cleaned.parent() {
        Some(_) => Ok(cleaned),
        None => Err(Error::new(format!("{target:?}: the target cannot be /"))),
    }
}
