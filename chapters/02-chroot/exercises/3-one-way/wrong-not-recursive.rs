//! 02.3: a job that mounts, and a host that must not notice.

use std::fs::create_dir_all;
use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

const NONE: Option<&str> = None;

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("job") => job(),
        _ => host(),
    }
}

fn host() -> anyhow::Result<()> {
    create_dir_all("machine/scratch")?;
    create_dir_all("machine/disk")?;
    mount(Some("machine"), "machine", NONE, MsFlags::MS_BIND, NONE)?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_SHARED, NONE)?;
    let mut job = Command::new(std::env::current_exe()?);
    let mut job = job.arg("job").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(job.stdout.take().expect("a pipe"));
    said.read_line(&mut String::new())?;
    mount(Some("disk"), "machine/disk", Some("tmpfs"), MsFlags::empty(), NONE)?;
    checkpoint::reached("plugged in")?;
    // Its standard input is closed with this, and so it ends.
    job.wait()?;
    Ok(())
}

fn job() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    apart()?;
    mount(Some("scratch"), "machine/scratch", Some("tmpfs"), MsFlags::empty(), NONE)?;
    checkpoint::reached("mounted")?;
    println!("mounted");
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// What the job mounts stays here; what the host mounts comes here.
fn apart() -> nix::Result<()> {
    mount(NONE, "/", NONE, MsFlags::MS_SLAVE, NONE)
}
