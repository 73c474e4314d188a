//! Rung 2: who starts a container and goes home leaves nobody to ask how it ended.
//! Shows: the runtime: exit status: 0
//! Shows: how did it end? ECHILD
use std::{fs, io, process::Command};

use nix::sys::wait::waitpid;
use nix::unistd::Pid;

fn main() -> io::Result<()> {
    let create = "(sleep 1; exit 7) >/dev/null & echo $!"; // the runtime: its work is done
    let runtime = Command::new("sh").args(["-c", create]).output()?;
    println!("the runtime: {}", runtime.status);
    let pid = String::from_utf8_lossy(&runtime.stdout).trim().to_owned();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let parent = status.lines().find(|line| line.starts_with("PPid")).unwrap_or_default();
    println!("the container runs: pid {pid}, {parent}");
    let container = Pid::from_raw(pid.parse().map_err(io::Error::other)?);
    match waitpid(container, None) {
        Ok(status) => println!("it ended: {status:?}"),
        Err(errno) => println!("how did it end? {errno:?}: it is no child of ours"),
    }
    Ok(())
}
