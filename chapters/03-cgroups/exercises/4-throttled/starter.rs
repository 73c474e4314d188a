//! 03.4: a loop with two threads. The limits are wrong.

use std::env::{args, current_exe};
use std::process::{Command, Stdio};
use std::thread;

use ch03_cgroups::{Hierarchy, Limits};
use nix::unistd::Pid;

fn main() -> anyhow::Result<()> {
    if args().nth(1).as_deref() == Some("loop") {
        return spin();
    }
    let limits = Limits { cpu_shares: Some(512), ..Limits::default() };
    let cgroup = Hierarchy::probe()?.cgroup("dockster-mine", "loop")?;
    cgroup.create(&limits)?;
    let mut child = Command::new(current_exe()?).arg("loop").stdin(Stdio::piped()).spawn()?;
    cgroup.add(Pid::from_raw(child.id() as i32))?;
    child.wait()?; // closes its standard input first: the gate
    println!("{:?}", cgroup.stats()?);
    Ok(cgroup.remove_and_prune()?)
}

/// Not yours to change: two threads that never sleep.
fn spin() -> anyhow::Result<()> {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    for _ in 0..2 {
        thread::spawn(|| {
            loop {
                std::hint::black_box(0);
            }
        });
    }
    Ok(checkpoint::reached("spinning")?)
}
