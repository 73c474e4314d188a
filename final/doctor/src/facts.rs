//! Checks that read what the kernel and the configuration say.

use std::fs;
use std::path::{Path, PathBuf};

use ch01_clone::Namespace;
use ch03_cgroups::{Hierarchy, hierarchy::Kind, scope};
use nix::sys::statvfs::statvfs;
use nix::unistd::{User, geteuid};

use crate::cure::{Change, Cure};
use crate::distribution::free_range;
use crate::{Finding, Patient};

/// The oldest kernel that has all we use.
const OLDEST: (u32, u32) = (5, 15);

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Who runs this.
pub(crate) fn user() -> String {
    let user = User::from_uid(geteuid()).ok().flatten();
    user.map_or_else(|| geteuid().to_string(), |user| user.name)
}

/// The directory itself, or the nearest one above it that exists.
pub(crate) fn nearest(root: &Path) -> PathBuf {
    root.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

pub(crate) fn kernel(patient: &Patient) -> Finding {
    let release = text("/proc/sys/kernel/osrelease");
    let found = format!("Linux {} on {}", release.trim(), patient.distribution.name);
    match version(&release) {
        // The first WSL has no Linux kernel: it only answers to Linux's calls.
        Some((4, _)) if release.contains("Microsoft") => Finding::fail(
            format!("{found}: this is WSL 1"),
            "in Windows: wsl --set-version DISTRIBUTION 2",
        ),
        Some(version) if version >= OLDEST => Finding::ok(found),
        _ => Finding::fail(
            format!("{found}: 5.15 is the oldest that will do"),
            patient.distribution.update_kernel(),
        ),
    }
}

/// `6.8.0-45-generic`: 6 and 8.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.trim().split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub(crate) fn container(_: &Patient) -> Finding {
    let marks = [
        ("/.dockerenv", "Docker"),
        ("/run/.containerenv", "Podman"),
        ("/run/systemd/container", "systemd-nspawn or alike"),
    ];
    match marks.iter().find(|(path, _)| Path::new(path).exists()) {
        None => Finding::ok("none that shows"),
        Some((path, name)) => Finding::warn(
            format!("{name} ({path}): it may forbid what follows"),
            "start it with --privileged if something below fails",
        ),
    }
}

pub(crate) fn namespaces(patient: &Patient) -> Finding {
    let lacks = |kind: &Namespace| !Path::new(&format!("/proc/self/ns/{}", kind.file())).exists();
    let missing: Vec<_> = Namespace::ALL.into_iter().filter(lacks).map(Namespace::file).collect();
    match missing[..] {
        [] => Finding::ok("all eight"),
        // Containers do without an own time namespace.
        ["time"] => Finding::warn("all but time", patient.distribution.update_kernel()),
        _ => Finding::fail(
            format!("this kernel lacks {}", missing.join(", ")),
            patient.distribution.update_kernel(),
        ),
    }
}

pub(crate) fn id_ranges(patient: &Patient) -> Finding {
    let names = [user(), geteuid().to_string()];
    let [uids, gids] = ["/etc/subuid", "/etc/subgid"].map(|path| granted(&text(path), &names));
    match (uids.min(gids), patient.privileged) {
        (0, true) => Finding::ok("root does without"),
        (0, false) => {
            let found = format!(
                "none for {} in /etc/subuid and /etc/subgid, so a container has one user",
                names[0]
            );
            Finding::warn(found, grant(patient))
        }
        (count, _) => Finding::ok(format!("{count} ids for {}", names[0])),
    }
}

/// The cure for who has no ranges.
pub(crate) fn grant(patient: &Patient) -> Cure {
    let first = free_range(&(text("/etc/subuid") + &text("/etc/subgid")));
    patient.distribution.grant_ranges(&user(), first)
}

/// How many ids a file of `name:first:count` grants to whoever has one of these names.
fn granted(file: &str, names: &[String]) -> u64 {
    let count = |line: &str| {
        let fields: Vec<_> = line.trim().split(':').collect();
        let [name, _, count] = fields[..] else { return None };
        names.iter().any(|known| known == name).then(|| count.parse::<u64>().ok())?
    };
    file.lines().filter_map(count).sum()
}

pub(crate) fn propagation(_: &Patient) -> Finding {
    match is_shared(&text("/proc/self/mountinfo")) {
        true => Finding::ok(
            "/ is shared, which is harmless: a container's first step is to make its copy private",
        ),
        false => Finding::ok("/ is private"),
    }
}

fn is_shared(mountinfo: &str) -> bool {
    let root = |line: &&str| line.split(' ').nth(4) == Some("/");
    mountinfo
        .lines()
        .filter(root)
        .any(|line| line.split(" - ").next().is_some_and(|place| place.contains(" shared:")))
}

pub(crate) fn cgroups(_: &Patient) -> Finding {
    let hierarchy = match Hierarchy::probe() {
        Ok(hierarchy) => hierarchy,
        Err(error) => return Finding::warn(error.to_string(), error.hint.unwrap_or_default()),
    };
    let mode = match hierarchy.kind() {
        Kind::Unified => "version 2",
        Kind::Hybrid => "version 1, with version 2 beside",
        Kind::Legacy => "version 1",
    };
    match hierarchy.cgroup("", "doctor") {
        Ok(_) => Finding::ok(format!("{mode}, and we may make some")),
        // `run` with limits asks the user's service manager for one by itself.
        Err(_) if scope::delegated_scope().is_some() => {
            Finding::ok(format!("{mode}, delegated by systemd when asked"))
        }
        Err(error) => Finding::warn(format!("{mode}: {error}"), error.hint.unwrap_or_default()),
    }
}

pub(crate) fn internal_processes(_: &Patient) -> Finding {
    let hierarchy = Hierarchy::probe().ok();
    match hierarchy.filter(|hierarchy| hierarchy.cgroup("", "doctor").is_ok()) {
        None => Finding::ok("no cgroup of ours to be concerned"),
        Some(hierarchy) if hierarchy.delegated() => Finding::ok("our cgroup holds none of others"),
        Some(_) => Finding::warn(
            "our cgroup holds processes of others, and one that hands on limits may hold none",
            "mkdir /sys/fs/cgroup/init && xargs -rn1 < /sys/fs/cgroup/cgroup.procs > /sys/fs/cgroup/init/cgroup.procs",
        ),
    }
}

/// On version 2, whether the limits that people use reach the cgroup that is ours.
pub(crate) fn controllers(_: &Patient) -> Finding {
    let ours = Hierarchy::probe()
        .and_then(|hierarchy| Ok((hierarchy.kind(), hierarchy.cgroup("", "doctor")?)));
    let Ok((Kind::Unified, cgroup)) = ours else {
        return Finding::ok("not a matter of delegation here");
    };
    let dir = cgroup.paths().remove("").and_then(|dir| dir.parent().map(Path::to_owned));
    let listed = dir.and_then(|dir| fs::read_to_string(dir.join("cgroup.controllers")).ok());
    let listed = listed.unwrap_or_default();
    let missing: Vec<_> = ["memory", "cpu", "pids"]
        .into_iter()
        .filter(|name| !listed.split_whitespace().any(|have| have == *name))
        .collect();
    match missing.is_empty() {
        true => Finding::ok(listed.trim()),
        false => Finding::warn(format!("without {}", missing.join(", ")), delegate()),
    }
}

/// systemd hands a user's manager only memory and pids unless it is told to.
fn delegate() -> Cure {
    const DROP_IN: &str = "/etc/systemd/system/user@.service.d";
    const FILE: &str = "dockster-delegate.conf";
    let lines = "[Service]\\nDelegate=cpu cpuset io memory pids\\n";
    Cure::with(
        "sudo systemctl edit user@.service, and write: [Service] Delegate=cpu cpuset io memory pids",
        Change::new(
            "have systemd delegate all controllers to users (from the next login on)",
            format!(
                "mkdir -p {DROP_IN} && printf '{lines}' | tee {DROP_IN}/{FILE} && \
                 systemctl daemon-reload"
            ),
            format!("rm {DROP_IN}/{FILE} && systemctl daemon-reload"),
        ),
    )
}

pub(crate) fn space(patient: &Patient) -> Finding {
    let dir = nearest(&patient.root);
    let free = statvfs(&dir).map(|disk| (disk.blocks_available() * disk.fragment_size()) >> 20);
    let found = |mib: u64| format!("{mib} MiB free at {}", dir.display());
    match free {
        Ok(mib @ 0..128) => {
            Finding::fail(found(mib), "make room, or choose another directory with --root DIR")
        }
        Ok(mib @ 128..1024) => {
            Finding::warn(found(mib), "make room, or choose another directory with --root DIR")
        }
        Ok(mib) => Finding::ok(found(mib)),
        Err(errno) => Finding::warn(format!("{}: {errno:?}", dir.display()), ""),
    }
}

pub(crate) fn name_servers(_: &Patient) -> Finding {
    let servers = servers(&text("/etc/resolv.conf"));
    let upstream = Path::new("/run/systemd/resolve/resolv.conf");
    match servers.iter().all(|server| server.starts_with("127.") || server == "::1") {
        _ if servers.is_empty() => Finding::warn(
            "/etc/resolv.conf names none",
            "echo nameserver 9.9.9.9 | sudo tee -a /etc/resolv.conf",
        ),
        false => Finding::ok(servers.join(", ")),
        true if upstream.exists() => Finding::ok(format!(
            "{}; containers get those behind it, from {}",
            servers.join(", "),
            upstream.display()
        )),
        true => Finding::warn(
            format!("only {}, which a container cannot reach", servers.join(", ")),
            "name another server in /etc/resolv.conf",
        ),
    }
}

fn servers(resolv_conf: &str) -> Vec<String> {
    let server =
        |line: &str| line.trim().strip_prefix("nameserver").map(|rest| rest.trim().to_owned());
    resolv_conf.lines().filter_map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(version("6.8.0-45-generic\n"), Some((6, 8)));
        assert_eq!(version("5.15.167.4-microsoft-standard-WSL2"), Some((5, 15)));
        assert_eq!(version("4.4.0-19041-Microsoft"), Some((4, 4)));
        assert_eq!(version(""), None);
        assert!(version("5.4.0-1").unwrap() < OLDEST && version("10.0.1").unwrap() > OLDEST);
    }

    #[test]
    fn counts_granted_ids() {
        let names = ["ada".to_owned(), "1000".to_owned()];
        assert_eq!(granted("bob:100000:65536\nada:165536:65536\n1000:300000:10\n", &names), 65_546);
        assert_eq!(granted("ada:1\nada:x:y\n# ada\n", &names), 0);
    }

    #[test]
    fn sees_sharing_and_servers() {
        assert!(is_shared("27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"));
        assert!(!is_shared(
            "27 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n28 27 0:5 / /dev rw shared:2 - tmpfs x rw\n"
        ));
        assert_eq!(
            servers("# nameserver 1.1.1.1\nsearch x\nnameserver 127.0.0.53\nnameserver\t::1\n"),
            ["127.0.0.53", "::1"]
        );
    }

    #[test]
    fn finds_the_nearest_directory() {
        assert_eq!(nearest(Path::new("/proc/self/task/none/such")), Path::new("/proc/self/task"));
    }
}
