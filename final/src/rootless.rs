//! For an ordinary user: become root in a user namespace of one's own.
//!
//! The program starts itself once more in there, and from then on runs as it
//! does for root. Only what the kernel keeps from such a root differs, and the
//! chapters know that.
//!
//! A container that lives does so in the user namespace of the command that has
//! started it, and root of another one is nobody in there. So as long as one lives,
//! the next command joins its user namespace, with mounts of its own.

mod guests;
pub mod keeper;

use std::ffi::{CString, OsString};
use std::os::unix::process::parent_id;
use std::path::Path;

use ch01_clone::{
    Context, IdMaps, Namespace, Namespaces, Plan, Program, Result, Signals, Waiting, join, steps,
};
use ch03_cgroups::Hierarchy;
use guests::Guests;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, geteuid};

/// Set in the inner program's environment.
const INSIDE: &str = "DOCKSTER_ROOTLESS";

/// Whether this is the inner program of an ordinary user's.
pub fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// What a program that we become next needs in its environment to know the same.
pub fn testimony() -> Vec<CString> {
    let inside = inside().then(|| CString::new(format!("{INSIDE}=1")).unwrap_or_default());
    inside.into_iter().collect()
}

/// A process that still sees the machine as the user does: for comparison.
pub fn witness() -> i32 {
    match inside() {
        true => parent_id() as i32,
        false => std::process::id() as i32,
    }
}

/// Whether the program has to enter before it can do its work.
pub fn needed() -> bool {
    !geteuid().is_root() && !inside()
}

/// Runs this program again inside, with the same arguments; returns its exit status.
/// Inside is where one of `hosts` lives, or another command with this root, and without any
/// a new place.
pub fn enter<I: Iterator<Item = i32>>(root: &Path, hosts: impl FnOnce() -> I) -> Result<u8> {
    // The inner program shall find a delegated cgroup empty of strangers, and we are one.
    if let Ok(hierarchy) = Hierarchy::probe() {
        hierarchy.step_aside()?;
    }
    let args = std::env::args_os();
    let mut env: Vec<OsString> = std::env::vars_os()
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name
        })
        .collect();
    env.push(format!("{INSIDE}=1").into());
    env.push(crate::portrait::testimony().into());
    let exe = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    let mut program = Program::new(std::iter::once(exe.into_os_string()).chain(args.skip(1)), env)?;
    program.dies_with_parent = true;
    let signals = Signals::catch()?.without_insisting();
    let guests = Guests::of(root)?;
    let mut hosts = hosts().chain(guests.pids());
    // Who is paused at a step does not keep the others out.
    let held = (!steps::watched()).then_some(guests);
    // One that ends just now cannot be joined any more, but perhaps the next.
    let child = match hosts.find_map(|host| joined(Pid::from_raw(host), &program).ok()) {
        Some(child) => child,
        None => new(&program)?,
    };
    let (child, _) = child.start()?;
    held.map_or_else(|| Guests::of(root), Ok)?.add(child.pid().as_raw());
    Ok(child.wait_forwarding(signals)?.code())
}

fn new(program: &Program) -> Result<Waiting> {
    let plan = Plan {
        namespaces: Namespaces::of([Namespace::User, Namespace::Mount]),
        ids: Some(IdMaps::best()),
        cgroup: None,
    };
    plan.spawn(|gate| program.clone().find()?.exec(gate))
}

/// In the user namespace of a container that lives. Its mounts may be old: ours are new.
fn joined(host: Pid, program: &Program) -> Result<Waiting> {
    join(host, Namespaces::of([Namespace::User]), |gate| {
        unshare(CloneFlags::CLONE_NEWNS).call(|| "unshare(CLONE_NEWNS)")?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
            .call(|| "mount(MS_REC|MS_PRIVATE)")?;
        program.clone().find()?.exec(gate)
    })
}
