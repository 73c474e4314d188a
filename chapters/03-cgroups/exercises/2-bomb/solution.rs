//! 03.2: a fork bomb, in a glass.

use std::env::{args, current_exe};
use std::io::{BufRead, BufReader, copy, sink, stdin};
use std::process::{Command, Stdio};

use ch03_cgroups::{Hierarchy, Limits};
use nix::unistd::Pid;

fn main() -> anyhow::Result<()> {
    if args().nth(1).as_deref() == Some("bomb") {
        return bomb();
    }
    let cgroup = Hierarchy::probe()?.cgroup("dockster-mine", "bomb")?;
    cgroup.create(&Limits { pids: Some(16), ..Limits::default() })?;

    let mut command = Command::new(current_exe()?);
    let mut bomb = command.arg("bomb").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    cgroup.add(Pid::from_raw(bomb.id() as i32))?;
    drop(bomb.stdin.take()); // the gate: now it goes
    let mut words = BufReader::new(bomb.stdout.take().unwrap());
    words.read_line(&mut String::new())?; // its first word
    bomb.wait()?;

    // The program goes on, and forks.
    Command::new("true").status()?;
    cgroup.kill()?;
    Ok(cgroup.remove_and_prune()?)
}

/// Not yours to change: it waits for the end of its standard input, and then starts as
/// many sleepers as it can get, forty at most.
fn bomb() -> anyhow::Result<()> {
    copy(&mut stdin(), &mut sink())?;
    for _ in 0..40 {
        if Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().is_err() {
            break;
        }
        println!("one more");
    }
    Ok(checkpoint::reached("full")?)
}
