//! The child becomes the lab's PID 1: its own /proc, /sys, network and cgroup.
//!
//! What is not to be had on this machine is left out, and said.

use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::fs;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ch01_clone::narrate::fill;
use ch01_clone::{Context, Error, Gate, Message, Plan, Result, set_hostname};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{chdir, close, execve};

use super::{Ceiling, Lab, loopback};

mod cgroups;
mod ids;
mod sysfs;

/// All that has to be done in here, and then this program once more, as PID 1.
pub(super) fn become_init(
    lab: &Lab,
    ceiling: &Ceiling,
    plan: &Plan<'_>,
    gate: &Gate,
) -> Result<Infallible> {
    set_hostname("lab")?;
    for (what, done) in [
        ("a network interface lo that is up", loopback::up()),
        ("more than one user for containers in here", ids::grant(plan)),
        ("a /proc of its own", own_proc()),
        ("a /sys of its own", sysfs::own_sys()),
        ("a /run of its own", own_run(&lab.directory)),
        ("cgroups, to make some of your own", cgroups::enter(ceiling)),
    ] {
        if let (Err(error), false) = (done, lab.quiet) {
            let text = format!("Not to be had on this machine: {what}: {error}.");
            fill(&text, 78).iter().for_each(|line| eprintln!("{line}"));
        }
    }
    chdir(&lab.directory).call(|| format!("chdir({:?})", lab.directory))?;
    ceiling.lower()?;
    exec(lab, gate)
}

/// Without it `ps` would show the processes of this machine.
fn own_proc() -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>).call(|| "mount(proc, /proc)")
}

/// What runs is noted in /run: in here, and gone with the lab.
fn own_run(directory: &Path) -> Result<()> {
    match directory.starts_with("/run") {
        true => Err(Error::new(format!("{directory:?} is in it"))),
        false => mount_over("tmpfs", Path::new("/run"), "mode=755"),
    }
}

/// Becomes PID 1 by executing this very program.
fn exec(lab: &Lab, gate: &Gate) -> Result<Infallible> {
    close_strangers(&lab.keep)?;
    let arguments = ["x", "lab", "--inside", "00", "--"].map(OsStr::new).into_iter();
    let arguments = arguments.chain(lab.command.iter().map(|word| word.as_os_str()));
    let arguments = arguments.map(c_string).collect::<Result<Vec<_>>>()?;
    let environment = lab.environment.iter().map(|variable| c_string(variable));
    let environment = environment.collect::<Result<Vec<_>>>()?;
    SigSet::empty().thread_set_mask().call(|| "sigprocmask(SIG_SETMASK)")?;
    // When `x` dies, PID 1 dies, and with it all that is in here.
    prctl::set_pdeathsig(Signal::SIGKILL).call(|| "prctl(PR_SET_PDEATHSIG)")?;
    // Should `x` have died before the line above, this fails.
    gate.send(&Message::Exec)?;
    let Err(errno) = execve(c"/proc/self/exe", &arguments, &environment);
    Err(Error::os("execve(/proc/self/exe)", errno))
}

/// Closes what our caller left open in us by chance; what we opened ourselves closes at
/// the execve.
fn close_strangers(keep: &[RawFd]) -> Result<()> {
    let open = fs::read_dir("/proc/self/fd").call(|| "readdir(/proc/self/fd)")?;
    let open: Vec<RawFd> =
        open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2 && !keep.contains(fd)) {
        if !closes_on_exec(fd) {
            // The list's own descriptor is gone already.
            match close(fd) {
                Ok(()) | Err(Errno::EBADF) => {}
                Err(errno) => return Err(Error::os(format!("close({fd})"), errno)),
            }
        }
    }
    Ok(())
}

/// From its flags, in octal, in /proc/self/fdinfo (proc(5)).
fn closes_on_exec(fd: RawFd) -> bool {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| i64::from_str_radix(flags.trim(), 8).ok());
    flags.is_none_or(|flags| flags & i64::from(nix::libc::O_CLOEXEC) != 0)
}

fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| Error::new(format!("a zero byte in {text:?}")))
}

/// Mounts over what is there, with these options.
fn mount_over(kind: &str, point: &Path, options: &str) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some(kind), point, Some(kind), flags, Some(options).filter(|o| !o.is_empty()))
        .call(|| format!("mount({kind}, {point:?}, {options:?})"))
}
