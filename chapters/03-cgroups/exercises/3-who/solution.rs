//! 03.3: two workers that end by signal 9. The cgroup knows why.

use std::env::{args, current_exe};
use std::process::{Command, ExitStatus, Stdio};

use ch03_cgroups::{Cgroup, Hierarchy, Limits};
use nix::sys::signal::{Signal, raise};
use nix::unistd::Pid;

/// Whether a worker that ended like this was out of memory.
fn out_of_memory(cgroup: &Cgroup, _status: ExitStatus) -> anyhow::Result<bool> {
    Ok(cgroup.events()?.oom_kills > 0)
}

fn main() -> anyhow::Result<()> {
    match args().nth(1) {
        Some(name) => work(&name, args().nth(2)),
        None => ["eater", "victim"].into_iter().try_for_each(keep),
    }
}

/// Runs a worker, and once more when it has died.
fn keep(name: &str) -> anyhow::Result<()> {
    let mib = |mib: i64| Some(mib << 20);
    let limits = Limits { memory: mib(32), memory_swap: mib(32), ..Limits::default() };
    let cgroup = Hierarchy::probe()?.cgroup("dockster-mine", name)?;
    cgroup.create(&limits)?;
    let status = run(&cgroup, &[name])?;
    if out_of_memory(&cgroup, status)? {
        cgroup.update(&Limits { memory: mib(128), memory_swap: mib(128), ..limits })?;
    }
    run(&cgroup, &[name, "again"])?;
    Ok(cgroup.remove_and_prune()?)
}

/// In its cgroup before it does anything: it waits for its standard input to end.
fn run(cgroup: &Cgroup, words: &[&str]) -> anyhow::Result<ExitStatus> {
    let mut child = Command::new(current_exe()?).args(words).stdin(Stdio::piped()).spawn()?;
    cgroup.add(Pid::from_raw(child.id() as i32))?;
    Ok(child.wait()?)
}

fn work(name: &str, again: Option<String>) -> anyhow::Result<()> {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    match name {
        _ if again.is_some() => checkpoint::reached(name)?,
        "eater" => drop(std::hint::black_box(vec![1u8; 64 << 20])),
        _ => raise(Signal::SIGKILL)?,
    }
    Ok(())
}
