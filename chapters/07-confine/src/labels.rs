//! Labels: who the program is to AppArmor and to SELinux.
//!
//! Both want the same of us: write a name into a file of /proc, and the next
//! execve takes it on. Whether it may is asked then.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use ch01_clone::{Context, Error, Result, step};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::write;
use oci_spec::runtime::Process;

/// The labels to take on at the execve.
#[derive(Debug)]
pub struct Labels {
    /// The host's /proc. The container's own could be anything, and a label that
    /// is written into a file of its image is no label (CVE-2019-16884).
    proc: OwnedFd,
    apparmor: Option<String>,
    selinux: Option<String>,
}

impl Labels {
    /// What a configuration asks for; `None` if nothing. A label that this host
    /// cannot give is an error.
    pub fn prepare(process: &Process) -> Result<Option<Self>> {
        // Engines send an empty one for none.
        let set = |label: &Option<String>| label.clone().filter(|label| !label.is_empty());
        let (apparmor, selinux) = (set(process.apparmor_profile()), set(process.selinux_label()));
        let refuse = |what: &str| Err(Error::new(format!("config.json: process.{what}")));
        if apparmor.is_some() && !has_apparmor() {
            return refuse("apparmorProfile is set, but apparmor is not enabled");
        }
        if selinux.is_some() && !has_selinux() {
            return refuse("selinuxLabel is set, but selinux is not enabled");
        }
        match apparmor.is_some() || selinux.is_some() {
            true => Ok(Some(Self { proc: host_proc()?, apparmor, selinux })),
            false => Ok(None),
        }
    }

    /// The next execve takes them on.
    pub fn set(&self) -> Result<()> {
        if let Some(profile) = &self.apparmor {
            self.write(&["attr/apparmor/exec", "attr/exec"], &format!("exec {profile}"))?;
        }
        if let Some(label) = &self.selinux {
            self.write(&["attr/exec"], label)?;
        }
        Ok(())
    }

    /// Writes into the first of these files that exists.
    fn write(&self, files: &[&str], label: &str) -> Result<()> {
        step!(
            "label",
            "AppArmor and SELinux know a program by its label. It is asked for now and \
             taken on at the execve. It comes before the change of the user, who \
             may not be allowed to ask.",
            "cat /proc/PID/attr/exec",
            "write(/proc/thread-self/{files:?}, {label:?})",
            files
                .iter()
                .map(|file| self.write_one(file, label))
                .find(|done| *done != Err(Errno::ENOENT))
                .unwrap_or(Err(Errno::ENOENT)),
        )
    }

    fn write_one(&self, file: &str, label: &str) -> Result<(), Errno> {
        let path = format!("thread-self/{file}");
        let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let file = openat(&self.proc, path.as_str(), flags, Mode::empty())?;
        write(&file, label.as_bytes()).map(drop)
    }
}

/// The host's /proc, by descriptor, and really the kernel's.
fn host_proc() -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let proc = open("/proc", flags, Mode::empty()).call(|| "open(/proc)")?;
    match fstatfs(&proc).call(|| "fstatfs(/proc)")?.filesystem_type() {
        PROC_SUPER_MAGIC => Ok(proc),
        _ => Err(Error::new("/proc is not the kernel's")),
    }
}

fn has_apparmor() -> bool {
    fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|said| said.starts_with(b"Y"))
}

fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}
