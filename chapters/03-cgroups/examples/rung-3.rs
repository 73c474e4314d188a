//! Rung 3: the program has ended, and its cgroup cannot be removed.
//! Needs: root
//! Shows: Device or resource busy
use std::io::{Result, Write};
use std::process::{Command, Stdio, id};
use std::{fs, path::Path};

fn main() -> Result<()> {
    let v1 = Path::new("/sys/fs/cgroup/pids");
    let top = if v1.exists() { v1 } else { Path::new("/sys/fs/cgroup") };
    let cgroup = top.join(format!("dockster-rung-{}", id()));
    fs::create_dir(&cgroup)?;
    let script = "read gate; sleep 5 >/dev/null & exit 0"; // it leaves one behind
    let mut sh = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn()?;
    fs::write(cgroup.join("cgroup.procs"), sh.id().to_string())?;
    sh.stdin.take().unwrap().write_all(b"go\n")?;
    println!("the program ended: {}", sh.wait()?);
    println!("rmdir: {}", fs::remove_dir(&cgroup).unwrap_err());
    while fs::remove_dir(&cgroup).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(100)); // five seconds
    }
    Ok(())
}
