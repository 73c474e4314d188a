//! A container's files as one tree, whether it runs or not.

use std::fs::File;
use std::io::Write;

use ch01_clone::{Context, Error, Result};
use ch02_chroot::{Root, Rootfs, mount};
use ch06_images::archive;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount as mount_at};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::unistd::fchdir;

use super::Engine;
use super::record::{Claim, Record, Status};

impl Engine {
    /// Writes all files of a container as a tar archive. Of what is mounted in it only the
    /// places are there: a volume is an empty directory.
    pub fn export(&self, text: &str, to: impl Write) -> Result<()> {
        let id = self.find(text)?;
        let record = self.known(&id, text)?;
        let (root, _held) = match self.runs(&record) {
            Some(pid) => (bare_root(pid)?, None),
            None => self.files_at_rest(&record).map(|(root, held)| (root, Some(held)))?,
        };
        archive::write_root(root, to)
    }

    /// The first process of a container that runs.
    pub(super) fn runs(&self, record: &Record) -> Option<i32> {
        let init = record.init.as_ref().filter(|init| init.alive())?;
        (record.status == Status::Running).then_some(init.pid)
    }

    /// The files of a container that does not run. They lie over each other in mounts of
    /// our own, for as long as we live; nobody starts it while it is held.
    pub(super) fn files_at_rest(&self, record: &Record) -> Result<(Root, Claim)> {
        let held = self.hold(&record.id)?.ok_or_else(|| {
            Error::new(format!("container {} changes just now", &record.id[..12]))
        })?;
        unshare(CloneFlags::CLONE_NEWNS).call(|| "unshare(CLONE_NEWNS)")?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount_at(None::<&str>, "/", None::<&str>, private, None::<&str>)
            .call(|| "mount(MS_REC|MS_PRIVATE)")?;
        let tree = self.tree(&record.plan.layers, &self.container(&record.id), false)?;
        let rootfs = Rootfs {
            tree,
            mounts: Vec::new(),
            masked: Vec::new(),
            read_only_paths: Vec::new(),
            read_only: false,
            more: Default::default(),
        };
        Ok((rootfs.build()?, held))
    }
}

/// The root of a process, without what is mounted below it. Only who is in a mount namespace
/// can take a mount out of it; so we go there, and come back with it.
fn bare_root(pid: i32) -> Result<Root> {
    let namespace = |who: &str| {
        let path = format!("/proc/{who}/ns/mnt");
        File::open(&path).call(|| format!("open({path:?})"))
    };
    let (here, there) = (namespace("self")?, namespace(&pid.to_string())?);
    // Entering one changes the directory that one is in.
    let directory = open(".", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .call(|| "open(\".\")")?;
    let root = Root::open(format!("/proc/{pid}/root").as_ref())?;
    let enter = |namespace: &File, whose: &str| {
        setns(namespace, CloneFlags::CLONE_NEWNS).call(|| format!("setns({whose}, CLONE_NEWNS)"))
    };
    enter(&there, "the container's")?;
    let copy = mount::copy_handle(&root);
    enter(&here, "our own")?;
    fchdir(&directory).call(|| "fchdir")?;
    copy.map(Root::from)
}
