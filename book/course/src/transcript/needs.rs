//! What a transcript needs of the machine, and whether it is here.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use nix::unistd::{AccessFlags, Uid, User, access};

/// The words of `needs=`, beside `program:NAME`.
pub const WORDS: [&str; 7] = ["root", "user", "v1", "v2", "limits", "ranges", "cargo"];

/// The word, if there is such a need.
pub(super) fn known(word: &str) -> Result<String> {
    let program = word.strip_prefix("program:").is_some_and(|name| !name.is_empty());
    ensure!(
        program || WORDS.contains(&word),
        "needs={word} is unknown: there are {}, program:NAME",
        WORDS.join(", ")
    );
    Ok(word.into())
}

/// Why a need is not met here, by a short look.
pub fn missing(word: &str) -> Option<String> {
    let root = Uid::effective().is_root();
    let unless = |met: bool, reason: &str| (!met).then(|| reason.to_owned());
    match word {
        "root" => unless(root, "needs root"),
        "user" => unless(!root, "needs an ordinary user"),
        "v1" => unless(is_v1(), "needs cgroups v1"),
        "v2" => unless(is_v2(), "needs cgroups v2"),
        "limits" => unless(may_limit(root), "needs cgroups that you may limit"),
        "ranges" => unless(root || has_ranges(), "needs newuidmap and a range in /etc/subuid"),
        "cargo" => unless(find_program("cargo"), "needs cargo"),
        _ => {
            let name = word.strip_prefix("program:").unwrap_or(word);
            unless(find_program(name), &format!("needs the program {name}"))
        }
    }
}

fn is_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

fn is_v1() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(2) == Some("cgroup"))
}

/// Writable: on v2 the own cgroup or its parent, on v1 the memory hierarchy.
fn may_limit(root: bool) -> bool {
    let writable = |dir: &Path| access(dir, AccessFlags::W_OK).is_ok();
    if !is_v2() {
        return root && writable(Path::new("/sys/fs/cgroup/memory"));
    }
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or("");
    let own = Path::new("/sys/fs/cgroup").join(own);
    own.ancestors().take(2).any(|dir| dir.starts_with("/sys/fs/cgroup") && writable(dir))
}

fn has_ranges() -> bool {
    let uid = Uid::effective();
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name).unwrap_or_default();
    let ranges = fs::read_to_string("/etc/subuid").unwrap_or_default();
    let mine = |line: &str| {
        let owner = line.split(':').next().unwrap_or("");
        owner == name || owner == uid.to_string()
    };
    find_program("newuidmap") && ranges.lines().any(mine)
}

fn find_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let also = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path).chain(also).any(|dir| dir.join(name).is_file())
}
