//! Catalogue: not needed to understand the chapter.
//!
//! A bundle: a directory with a root file system and a config.json.

use std::fs;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use ch02_chroot::Tree;
use oci_spec::runtime::{Process, Spec};

use crate::memory_policy::MemoryPolicy;
use crate::{fields, settings};

/// What a container shall be, as the OCI runtime specification writes it down.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The directory.
    pub dir: PathBuf,
    /// Its config.json.
    pub spec: Spec,
    /// Where the files of its root come from.
    pub tree: Tree,
    /// Its `linux.memoryPolicy`, which [`Spec`] does not have.
    pub memory_policy: Option<MemoryPolicy>,
}

impl Bundle {
    /// Reads and checks the configuration in `dir`.
    pub fn load(dir: &Path) -> Result<Self> {
        let dir = std::path::absolute(dir).call(|| format!("getcwd for {dir:?}"))?;
        let path = dir.join("config.json");
        let text = fs::read(&path).call(|| format!("open({path:?})"))?;
        let invalid = |error: serde_json::Error| Error::new(format!("{path:?}: {error}"));
        let mut config = serde_json::from_slice(&text).map_err(invalid)?;
        fields::refuse(&config)?;
        let memory_policy = MemoryPolicy::of(&config)?;
        fields::respell(&mut config);
        let spec: Spec = serde_json::from_value(config).map_err(invalid)?;
        check(&spec)?;
        let root = spec.root().as_ref().ok_or_else(|| Error::new("config.json has no root"))?;
        let tree = Tree::Directory(dir.join(root.path()));
        Ok(Self { dir, spec, tree, memory_policy })
    }
}

/// What no container can be made of.
fn check(spec: &Spec) -> Result<()> {
    let major = spec.version().split('.').next();
    if major != Some("1") {
        return Err(Error::new(format!(
            "ociVersion: {:?} is not supported, 1.x is",
            spec.version()
        )));
    }
    let personality = spec.linux().as_ref().and_then(|linux| linux.personality().as_ref());
    if personality.is_some_and(|p| p.flags().as_ref().is_some_and(|flags| !flags.is_empty())) {
        return Err(Error::new("linux.personality.flags: there are none to set yet"));
    }
    if let Some((name, _)) = foreign_sysctl(spec) {
        return Err(Error::new(format!("sysctl {name:?} is not in a separate kernel namespace")));
    }
    spec.process().as_ref().map_or(Ok(()), check_process)
}

/// The same of a process alone, as `exec` gets it.
pub fn check_process(process: &Process) -> Result<()> {
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err(Error::new("args must not be empty"));
    }
    if let Some(affinity) = process.exec_cpu_affinity() {
        let lists = [affinity.initial(), affinity.cpu_affinity_final()];
        lists.into_iter().flatten().try_for_each(|cpus| settings::processors(cpus).map(drop))?;
    }
    if !process.cwd().is_absolute() {
        return Err(Error::new("Cwd must be an absolute path"));
    }
    let mut seen = Vec::new();
    for limit in process.rlimits().iter().flatten() {
        if seen.contains(&limit.typ()) {
            return Err(Error::new(format!("process.rlimits: {} is given twice", limit.typ())));
        }
        seen.push(limit.typ());
    }
    Ok(())
}

/// A setting of the kernel that is no namespace's, or of a namespace that is the host's.
fn foreign_sysctl(spec: &Spec) -> Option<(&String, &String)> {
    use oci_spec::runtime::LinuxNamespaceType::{Ipc, Network, Uts};
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let linux = spec.linux().as_ref()?;
    let own = |kind| linux.namespaces().iter().flatten().any(|namespace| namespace.typ() == kind);
    let allowed = |name: &str| {
        let name = name.replace('/', ".");
        match &*name {
            "kernel.domainname" => own(Uts),
            _ if IPC.contains(&&*name) || name.starts_with("fs.mqueue.") => own(Ipc),
            _ if name.starts_with("net.") => own(Network),
            _ if name.starts_with("user.") => own(oci_spec::runtime::LinuxNamespaceType::User),
            _ => false,
        }
    };
    linux.sysctl().iter().flatten().find(|(name, _)| name.contains("..") || !allowed(name))
}
