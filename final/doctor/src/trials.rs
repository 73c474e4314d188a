//! Checks that try it: each in a child of its own, in namespaces of its own, so
//! that whatever it makes is gone with it.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Gate, IdMaps, Namespace, Namespaces, Plan, Result};
use ch02_chroot::{Rootfs, Tree};
use nix::sys::socket::MsgFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, recv, send, socket};

use crate::cure::{Change, Cure};
use crate::facts::{grant, nearest};
use crate::{Finding, Patient};

/// What the child answers when all went well: it ends in an error, since it runs no program.
const WELL: &str = "well";

/// Runs `body` in a child with these namespaces, and a user namespace unless we are root.
fn try_in(patient: &Patient, kinds: &[Namespace], body: impl FnOnce() -> Result<()>) -> Result<()> {
    let namespaces = Namespaces::of(kinds.iter().copied());
    let plan = match patient.privileged {
        true => Plan { namespaces, ..Plan::default() },
        false => Plan {
            namespaces: namespaces.with(Namespace::User),
            ids: Some(IdMaps::one()),
            cgroup: None,
        },
    };
    child_of(&plan, body)
}

fn child_of(plan: &Plan<'_>, body: impl FnOnce() -> Result<()>) -> Result<()> {
    let child = plan.spawn(|_: &Gate| body().and(Err(Error::new(WELL))))?;
    match child.start() {
        Err(error) if error.call == WELL => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(Error::new("the child became another program")),
    }
}

/// One line, with what the error itself says to try as the cure unless there is a better one.
fn broken(error: &Error) -> (String, Cure) {
    (error.to_string(), error.hint.clone().unwrap_or_default().into())
}

/// A user namespace with one id: what an ordinary user's run starts with.
pub(crate) fn user_namespace(patient: &Patient) -> Finding {
    let plan = Plan {
        namespaces: Namespaces::of([Namespace::User]),
        ids: Some(IdMaps::one()),
        cgroup: None,
    };
    let Err(error) = child_of(&plan, || Ok(())) else {
        return Finding::ok("made one, and became root in it");
    };
    let (reason, cure) =
        reasons(patient, &|path| fs::read_to_string(path).ok()).unwrap_or_else(|| broken(&error));
    match patient.privileged {
        true => Finding::warn(format!("{reason}; root does without, ordinary users cannot"), cure),
        false => Finding::fail(reason, cure),
    }
}

/// The switches that forbid user namespaces, by what `read` finds in their files.
fn reasons(patient: &Patient, read: &dyn Fn(&str) -> Option<String>) -> Option<(String, Cure)> {
    let value = |path: &str| read(path).map(|text| text.trim().to_owned());
    let forbids = |key: &str, bad: &str, good: &str, found: &str| {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        let cure = || patient.distribution.sysctl(key, good, bad);
        (value(&path).as_deref() == Some(bad)).then(|| (found.to_owned(), cure()))
    };
    let found = "AppArmor restricts them (kernel.apparmor_restrict_unprivileged_userns is 1)";
    forbids("user.max_user_namespaces", "0", "15000", "user.max_user_namespaces is 0")
        .or_else(|| {
            let key = "kernel.unprivileged_userns_clone";
            forbids(key, "0", "1", &format!("{key} is 0"))
        })
        .or_else(|| forbids("kernel.apparmor_restrict_unprivileged_userns", "1", "0", found))
}

/// The set-uid programs that map ranges: have them map ours.
pub(crate) fn id_mappers(patient: &Patient) -> Finding {
    if patient.privileged {
        return Finding::ok("root does without");
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let find = |name: &str| {
        std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.exists())
    };
    let (Some(uids), Some(gids)) = (find("newuidmap"), find("newgidmap")) else {
        let found = "not installed, so a container has one user: files keep no other owners";
        return Finding::warn(found, patient.distribution.install_id_mappers());
    };
    let Some(ids) = IdMaps::ranges() else {
        return Finding::warn("installed, but there are no ranges for them to map", grant(patient));
    };
    let users = ids.users();
    let plan = Plan { namespaces: Namespaces::of([Namespace::User]), ids: Some(ids), cgroup: None };
    match child_of(&plan, || Ok(())) {
        Ok(()) => Finding::ok(format!("mapped {users} users")),
        // The engine takes the ranges if there are any: it would fail likewise.
        Err(error) => {
            let files = format!("{} {}", uids.display(), gids.display());
            let cure = Cure::with(
                format!("sudo chmod u+s {files}"),
                Change::new(
                    "give newuidmap and newgidmap their set-uid bit",
                    format!("chmod u+s {files}"),
                    format!("chmod u-s {files}"),
                ),
            );
            Finding::fail(format!("they did not map the ranges: {error}"), cure)
        }
    }
}

/// A directory for a trial, gone when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn below(dir: &Path) -> Result<Self> {
        let dir = dir.join(format!(".dockster-doctor-{}", std::process::id()));
        for dir in [dir.clone(), dir.join("lower"), dir.join("kept")] {
            fs::create_dir(&dir).call(|| format!("mkdir({dir:?})"))?;
        }
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // An overlay's own directories have no permissions at all, not even for their owner.
        open_up(&self.0.join("kept/work"));
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open_up(dir: &Path) {
    let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// An overlay whose changes are kept below the root of all state.
pub(crate) fn overlay(patient: &Patient) -> Finding {
    // Where there is no such directory yet, it will be made in the nearest one above.
    let tried = Scratch::below(&nearest(&patient.root)).and_then(|scratch| {
        let (lower, kept) = (scratch.0.join("lower"), scratch.0.join("kept"));
        let tree = Tree::Overlay { lowers: vec![lower], kept: Some(kept), volatile: true };
        let rootfs = Rootfs::bare(tree);
        try_in(patient, &[Namespace::Mount], || rootfs.build().map(drop))
    });
    match tried {
        Ok(()) => Finding::ok(format!("mounted one below {}", nearest(&patient.root).display())),
        Err(error) => {
            let (found, cure) = broken(&error);
            let cure = if cure.text.is_empty() {
                "choose a directory of yours with --root DIR".into()
            } else {
                cure
            };
            Finding::fail(found, cure)
        }
    }
}

/// A root with a /proc, /dev and /sys of its own, masked as usual. In a container
/// whose /proc is partly covered, the kernel refuses a new one to a user namespace.
pub(crate) fn new_root(patient: &Patient) -> Finding {
    let tried = Scratch::below(&std::env::temp_dir()).and_then(|scratch| {
        let rootfs = Rootfs::new(Tree::Directory(scratch.0.join("lower")), &IdMaps::one());
        use Namespace::{Cgroup, Ipc, Mount, Net, Pid, Uts};
        try_in(patient, &[Mount, Pid, Ipc, Net, Uts, Cgroup], || rootfs.enter())
    });
    match tried {
        Ok(()) => Finding::ok("made one, with /proc, /dev and /sys, and moved into it"),
        Err(error)
            if error.errno == Some(nix::errno::Errno::EPERM) && error.call.contains("proc") =>
        {
            Finding::fail(
                format!("{error}: /proc is not fully visible here"),
                "give the container around us --privileged, or --security-opt systempaths=unconfined",
            )
        }
        Err(error) => {
            let (found, cure) = broken(&error);
            Finding::fail(found, cure)
        }
    }
}

/// Asks nf_tables for the number of its generation, in a network of our own.
pub(crate) fn nf_tables(patient: &Patient) -> Finding {
    match try_in(patient, &[Namespace::Net], ask_nf_tables) {
        Ok(()) => Finding::ok("it answers"),
        Err(error) => {
            let cure = match patient.distribution.wsl {
                true => "in Windows: wsl --update".into(),
                false => Cure::with(
                    "sudo modprobe nf_tables",
                    Change::new(
                        "load the kernel's module nf_tables",
                        "modprobe nf_tables",
                        "modprobe -r nf_tables",
                    ),
                ),
            };
            Finding::warn(format!("{error}: published ports and NAT will not work"), cure)
        }
    }
}

/// NFT_MSG_GETGEN, and an answer that is no error.
fn ask_nf_tables() -> Result<()> {
    const NFT_MSG_GETGEN: u16 = 10 << 8 | 16;
    const NLM_F_REQUEST: u16 = 1;
    const NLMSG_ERROR: u16 = 2;
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )
    .call(|| "socket(AF_NETLINK, NETLINK_NETFILTER)")?;
    // nlmsghdr (length, type, flags, sequence, port), nfgenmsg (family, version, resource).
    let mut message = Vec::new();
    let _ = message.write_all(&20u32.to_ne_bytes());
    for word in [NFT_MSG_GETGEN, NLM_F_REQUEST, 1, 0, 0, 0, 0, 0] {
        let _ = message.write_all(&word.to_ne_bytes());
    }
    send(socket.as_raw_fd(), &message, MsgFlags::empty()).call(|| "send(NFT_MSG_GETGEN)")?;
    let mut answer = [0; 256];
    let length =
        recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty()).call(|| "recv(NFT_MSG_GETGEN)")?;
    let mut fields = &answer[..length];
    let (mut head, mut code) = ([0; 16], [0; 4]);
    fields
        .read_exact(&mut head)
        .and_then(|()| fields.read_exact(&mut code))
        .call(|| "recv(NFT_MSG_GETGEN)")?;
    match u16::from_ne_bytes([head[4], head[5]]) {
        NLMSG_ERROR => {
            Err(Error::os("NFT_MSG_GETGEN", nix::errno::Errno::from_raw(-i32::from_ne_bytes(code))))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Distribution;

    #[test]
    fn names_the_switch_that_forbids_user_namespaces() {
        let patient = Patient {
            root: "/var/lib/dockster".into(),
            privileged: false,
            distribution: Distribution::from_text("ID=ubuntu\n", "6.8.0"),
        };
        let with = |name: &'static str, value: &'static str| {
            reasons(&patient, &move |path| path.ends_with(name).then(|| format!("{value}\n")))
        };
        let (found, cure) = with("apparmor_restrict_unprivileged_userns", "1").unwrap();
        assert!(found.contains("AppArmor"), "{found}");
        assert!(cure.text.contains("apparmor_restrict_unprivileged_userns=0"), "{cure:?}");
        assert!(
            with("max_user_namespaces", "0").unwrap().1.text.contains("max_user_namespaces=15000")
        );
        assert!(with("unprivileged_userns_clone", "0").unwrap().1.text.contains("userns_clone=1"));
        assert!(with("unprivileged_userns_clone", "1").is_none());
        assert!(with("max_user_namespaces", "63000").is_none());
    }
}
