//! Catalogue: not needed to understand the chapter.
//!
//! The namespaces of a configuration: which are new, which exist already, and
//! what a new one needs.

use std::fs::File;
use std::os::fd::OwnedFd;

use ch01_clone::elsewhere::Elsewhere;
use ch01_clone::{Context, Error, IdMaps, IdRange, Namespace, Namespaces, Result};
use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType, LinuxTimeOffset, Spec};

/// What `linux.namespaces` and the fields beside it ask for.
pub(crate) struct Wanted {
    /// The kinds that are made anew by the clone itself.
    pub(crate) plan: Namespaces,
    /// The maps of a new user namespace.
    pub(crate) ids: Option<IdMaps>,
    /// What a helper has to enter first, if anything.
    pub(crate) elsewhere: Option<Elsewhere>,
}

/// Sorts them out.
pub(crate) fn of(spec: &Spec) -> Result<Wanted> {
    let linux = spec.linux().as_ref();
    let mut plan = Namespaces::NONE;
    let (mut entered, mut seen) = (Vec::new(), Namespaces::NONE);
    for namespace in linux.and_then(|linux| linux.namespaces().as_ref()).into_iter().flatten() {
        let kind = kind(namespace.typ());
        if seen.has(kind) {
            return Err(Error::new(format!(
                "malformed spec file: duplicated ns {:?}",
                kind.file()
            )));
        }
        seen = seen.with(kind);
        match namespace.path() {
            None => plan = plan.with(kind),
            Some(path) => {
                let file = File::open(path).call(|| format!("open({path:?})"))?;
                entered.push((kind, OwnedFd::from(file)));
            }
        }
    }
    if !plan.has(Namespace::Mount) {
        return Err(Error::new(
            "linux.namespaces: without a mount namespace of its own it would change the host's",
        ));
    }
    let ids = linux.map_or(Ok(None), |linux| ids(linux, plan.has(Namespace::User)))?;
    let clocks = linux.and_then(clocks);
    if clocks.is_some() && !plan.has(Namespace::Time) {
        return Err(Error::new("linux.timeOffsets: takes a new time namespace"));
    }
    if clocks.is_some() {
        // Its offsets are written while nobody is in it: the helper does that.
        plan = plan.without(Namespace::Time);
    }
    entered.sort_by_key(|(kind, _)| *kind != Namespace::User);
    let elsewhere = (!entered.is_empty() || clocks.is_some())
        .then_some(Elsewhere { namespaces: entered, clocks });
    needed(spec, seen)?;
    Ok(Wanted { plan, ids, elsewhere })
}

fn kind(kind: LinuxNamespaceType) -> Namespace {
    match kind {
        LinuxNamespaceType::Mount => Namespace::Mount,
        LinuxNamespaceType::Cgroup => Namespace::Cgroup,
        LinuxNamespaceType::Uts => Namespace::Uts,
        LinuxNamespaceType::Ipc => Namespace::Ipc,
        LinuxNamespaceType::User => Namespace::User,
        LinuxNamespaceType::Pid => Namespace::Pid,
        LinuxNamespaceType::Network => Namespace::Net,
        LinuxNamespaceType::Time => Namespace::Time,
    }
}

/// What would change the host's own if there were no namespace of that kind.
fn needed(spec: &Spec, own: Namespaces) -> Result<()> {
    let without = |kind, field: &str, set: bool| match set && !own.has(kind) {
        true => Err(Error::new(format!(
            "unable to set {field} without a private {} namespace",
            kind.file().to_uppercase()
        ))),
        false => Ok(()),
    };
    without(Namespace::Uts, "hostname", spec.hostname().as_ref().is_some_and(|n| !n.is_empty()))?;
    without(Namespace::Uts, "domainname", spec.domainname().as_ref().is_some_and(|n| !n.is_empty()))
}

fn ids(linux: &Linux, own: bool) -> Result<Option<IdMaps>> {
    let ranges = |list: &Option<Vec<LinuxIdMapping>>| -> Vec<IdRange> {
        let range = |m: &LinuxIdMapping| IdRange {
            inside: m.container_id(),
            outside: m.host_id(),
            count: m.size(),
        };
        list.iter().flatten().map(range).collect()
    };
    let maps = IdMaps { uids: ranges(linux.uid_mappings()), gids: ranges(linux.gid_mappings()) };
    match (own, maps.uids.is_empty() || maps.gids.is_empty()) {
        (true, false) => Ok(Some(maps)),
        (true, true) => {
            Err(Error::new("linux.uidMappings and linux.gidMappings: a user namespace needs both"))
        }
        // Beside the path of a user namespace they say what is mapped there already.
        (false, _) => Ok(None),
    }
}

/// As /proc/PID/timens_offsets wants them (time_namespaces(7)).
fn clocks(linux: &Linux) -> Option<String> {
    let offsets = linux.time_offsets().as_ref().filter(|offsets| !offsets.is_empty())?;
    let line = |(clock, offset): (&String, &LinuxTimeOffset)| {
        let (secs, nanosecs) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        format!("{clock} {secs} {nanosecs}\n")
    };
    Some(offsets.iter().map(line).collect())
}
