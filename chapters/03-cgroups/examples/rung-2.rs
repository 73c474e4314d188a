//! Rung 2: moved a moment too late, the children are outside.
//! Needs: root
//! Shows: 1 inside the limit, 2 outside
use std::io::{BufRead, BufReader, Result};
use std::process::{Command, Stdio, id};
use std::{fs, path::Path};

fn main() -> Result<()> {
    let v1 = Path::new("/sys/fs/cgroup/pids");
    let top = if v1.exists() { v1 } else { Path::new("/sys/fs/cgroup") };
    let cgroup = top.join(format!("dockster-rung-{}", id()));
    fs::create_dir(&cgroup)?;
    fs::write(cgroup.join("pids.max"), "1")?;
    let script = "exec 2>&1; sleep 5 & sleep 5 & echo two; wait";
    let mut sh = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn()?;
    let mut said = String::new();
    BufReader::new(sh.stdout.take().unwrap()).read_line(&mut said)?;
    fs::write(cgroup.join("cgroup.procs"), sh.id().to_string())?; // too late
    let inside = fs::read_to_string(cgroup.join("cgroup.procs"))?.lines().count();
    println!("{inside} inside the limit, {} outside", 3 - inside);
    sh.kill()?;
    sh.wait()?;
    fs::remove_dir(&cgroup)
}
