//! What an exercise needs of the host, and the cure where it is missing.

use std::fs;
use std::path::Path;

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::{AccessFlags, Uid, User, access};

use crate::judge::Verdict;

/// The words that may stand behind `needs:`.
pub const WORDS: [&str; 7] =
    ["user namespaces", "id ranges", "root", "limits", "v2", "iproute2", "nftables"];

/// `Host` with the first need that is not met.
pub fn met(needs: &[String]) -> Result<(), Verdict> {
    for need in needs {
        if let Some((because, cure)) = missing(need) {
            return Err(Verdict::Host { because, cure });
        }
    }
    Ok(())
}

/// Why a need is not met, and what to do.
fn missing(need: &str) -> Option<(String, String)> {
    let root = Uid::effective().is_root();
    let (met, because, cure) = match need {
        "user namespaces" => (
            user_namespaces(),
            "this user may not make user namespaces",
            "`cargo x doctor` says what forbids it, and `--fix` allows it",
        ),
        "id ranges" => (
            root || id_ranges(),
            "/etc/subuid or /etc/subgid has no range for this user, or newuidmap is not installed",
            "`cargo x doctor --fix`",
        ),
        "root" => (root, "it takes root", "use a virtual machine (see the set-up), as root"),
        "iproute2" => (program("ip"), "there is no program ip", "install it, see the set-up"),
        "nftables" => (program("nft"), "there is no program nft", "install it, see the set-up"),
        "v2" => (v2(), "this host's cgroups are not v2 alone", "use a host with cgroups v2"),
        "limits" => (
            limits(root),
            "no cgroup is delegated to this user, so it cannot set limits",
            "`systemd-run --user --scope -p Delegate=yes bash`, and in there the same once more",
        ),
        _ => (false, "nobody knows what it needs", "mend the line `needs:` in its README.md"),
    };
    (!met).then(|| (because.to_owned(), cure.to_owned()))
}

/// The switches by which hosts forbid them.
fn user_namespaces() -> bool {
    let value = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).ok();
    let zero = |name| value(name).is_some_and(|value| value.trim() == "0");
    let one = |name| value(name).is_some_and(|value| value.trim() == "1");
    let root = Uid::effective().is_root();
    Path::new("/proc/self/ns/user").exists()
        && !zero("user/max_user_namespaces")
        && (root || !zero("kernel/unprivileged_userns_clone"))
        && (root || !one("kernel/apparmor_restrict_unprivileged_userns"))
}

fn id_ranges() -> bool {
    let name = User::from_uid(Uid::effective()).ok().flatten().map(|user| user.name);
    let names = [name.unwrap_or_default(), Uid::effective().to_string()];
    let has = |file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().any(|line| names.iter().any(|name| line.split(':').next() == Some(name)))
    };
    has("/etc/subuid") && has("/etc/subgid") && Path::new("/usr/bin/newuidmap").exists()
}

/// An ordinary user's PATH often lacks where they are.
fn program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let also = ["/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path).chain(also).any(|dir| dir.join(name).is_file())
}

fn v2() -> bool {
    statfs("/sys/fs/cgroup").is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC)
}

/// A cgroup below which this user may make more.
fn limits(root: bool) -> bool {
    let writable = |dir: &Path| access(dir, AccessFlags::W_OK).is_ok();
    if !v2() {
        return root && writable(Path::new("/sys/fs/cgroup/memory"));
    }
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let own = Path::new("/sys/fs/cgroup").join(own);
    own.ancestors().take(2).any(|dir| dir.starts_with("/sys/fs/cgroup") && writable(dir))
}
