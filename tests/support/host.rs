//! What this machine can do, found out once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use nix::unistd::{AccessFlags, Uid, User, access};

/// How the machine's cgroups are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cgroups {
    /// Only the unified hierarchy, at `/sys/fs/cgroup`.
    V2,
    /// v1 controllers, and a unified hierarchy beside them.
    Hybrid,
    /// v1 controllers only.
    V1,
    /// No cgroups are mounted.
    None,
}

/// Facts about the machine and about who runs the tests.
#[derive(Clone, Debug)]
pub struct Host {
    /// The tests run with effective uid 0.
    pub root: bool,
    /// How cgroups are mounted.
    pub cgroups: Cgroups,
    /// `unshare --user --map-root-user` works for this user.
    pub user_namespaces: bool,
    /// Ids beyond one's own can be mapped: root, or newuidmap and a range in
    /// `/etc/subuid`. `Err` says what is missing.
    pub id_ranges: Result<(), String>,
    /// Limits can be set: cgroups that this user may write. `Err` says why not.
    pub limits: Result<(), String>,
    /// By how much every time limit is stretched (`DOCKSTER_TEST_SCALE`): 1, or
    /// about 20 in the emulated machine of `tests/vm`.
    pub scale: u32,
    /// `CI=true`: nothing may be ignored for a missing part.
    pub ci: bool,
}

/// The facts, probed at the first call.
pub fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(Host::probe)
}

impl Host {
    fn probe() -> Host {
        let root = Uid::effective().is_root();
        let cgroups = cgroups();
        Host {
            root,
            cgroups,
            user_namespaces: unshare_works(),
            id_ranges: if root { Ok(()) } else { id_ranges() },
            limits: limits(root, cgroups),
            scale: std::env::var("DOCKSTER_TEST_SCALE")
                .ok()
                .and_then(|s| s.parse().ok())
                .unwrap_or(1),
            ci: std::env::var("CI").is_ok_and(|v| v == "true"),
        }
    }

    /// In the emulated machine, where a process takes 80 ms to start.
    pub fn is_slow(&self) -> bool {
        self.scale > 1
    }
}

/// Finds a program in `PATH` and, since an ordinary user's `PATH` often lacks
/// them, in the system's `sbin` directories.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| {
            fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        })
}

fn cgroups() -> Cgroups {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // "24 23 0:21 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw": the mount point is the
    // fifth field, the type the first one after the dash.
    let mut types: Vec<(&str, &str)> = Vec::new();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let kind = right.split(' ').next().unwrap_or("");
        types.push((left.split(' ').nth(4).unwrap_or(""), kind));
    }
    let has = |kind| types.iter().any(|t| t.1 == kind);
    match () {
        () if types.contains(&("/sys/fs/cgroup", "cgroup2")) => Cgroups::V2,
        () if has("cgroup") && has("cgroup2") => Cgroups::Hybrid,
        () if has("cgroup") => Cgroups::V1,
        () => Cgroups::None,
    }
}

/// Tried for real, since a sysctl, AppArmor or a seccomp filter may forbid it.
fn unshare_works() -> bool {
    Command::new("unshare")
        .args(["--user", "--map-root-user", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

fn id_ranges() -> Result<(), String> {
    for program in ["newuidmap", "newgidmap"] {
        find_program(program).ok_or(format!("{program} is not installed (package uidmap)"))?;
    }
    for file in ["/etc/subuid", "/etc/subgid"] {
        first_range(file).ok_or(format!("no range for this user in {file}"))?;
    }
    Ok(())
}

/// This user's first range in `/etc/subuid` or `/etc/subgid`: start and count.
pub(crate) fn first_range(file: &str) -> Option<(u32, u32)> {
    let uid = Uid::effective();
    let name = User::from_uid(uid).ok().flatten().map(|u| u.name);
    fs::read_to_string(file).ok()?.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        if Some(owner) != name.as_deref() && owner != uid.to_string() {
            return None;
        }
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

fn limits(root: bool, cgroups: Cgroups) -> Result<(), String> {
    let writable =
        |dir: &Path| access(dir, AccessFlags::W_OK).is_ok() && dir.starts_with("/sys/fs/cgroup");
    match cgroups {
        Cgroups::None => Err("no cgroups are mounted".into()),
        Cgroups::V2 => {
            let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
            let own = own.lines().find_map(|l| l.strip_prefix("0::/")).unwrap_or("");
            let own = Path::new("/sys/fs/cgroup").join(own);
            // In a delegated cgroup, or in a leaf of it that was not handed controllers yet.
            let delegated: Vec<_> = own.ancestors().take(2).filter(|dir| writable(dir)).collect();
            let has_memory = |dir: &&Path| {
                let all = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
                all.split_whitespace().any(|c| c == "memory")
            };
            match delegated.first() {
                Some(_) if delegated.iter().any(has_memory) => Ok(()),
                Some(dir) => Err(format!("{} lacks the memory controller", dir.display())),
                None => Err("no cgroup is delegated to this user: try `systemd-run --user --scope -p Delegate=yes cargo test`".into()),
            }
        }
        Cgroups::Hybrid | Cgroups::V1 if !root => {
            Err("an ordinary user cannot set limits with cgroups v1".into())
        }
        Cgroups::Hybrid | Cgroups::V1 if !writable(Path::new("/sys/fs/cgroup/memory")) => {
            Err("/sys/fs/cgroup/memory is not writable".into())
        }
        Cgroups::Hybrid | Cgroups::V1 => Ok(()),
    }
}
