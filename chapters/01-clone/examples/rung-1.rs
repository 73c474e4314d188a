//! Rung 1: three flags and a shell, then a second shell.
//! Types: uname -n; echo "pid $$"; echo "uid $(id -u)"; ps -C 01-rung-1 -o comm=
//! Shows: rung-1
//! Shows: pid 1
//! Shows: uid 65534
//! Shows: 01-rung-1
//! Shows: Cannot allocate memory

use std::{error::Error, process::Command};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::sethostname;

fn main() -> Result<(), Box<dyn Error>> {
    let (user, uts, pid) =
        (CloneFlags::CLONE_NEWUSER, CloneFlags::CLONE_NEWUTS, CloneFlags::CLONE_NEWPID);
    unshare(user | uts | pid)?;
    sethostname("rung-1")?;
    Command::new("sh").status()?;
    println!("And a second one:");
    Command::new("sh").status()?;
    Ok(())
}
