//! 03.5: a container that wants a cgroup below its own. In a leaf of its own.

use std::env::{args, current_exe};
use std::fs::{create_dir, create_dir_all, read_to_string, write};
use std::path::Path;
use std::process::{Command, Stdio, id};

use anyhow::Context;

/// Called before `container` hands `memory` on.
fn make_room(container: &Path) -> anyhow::Result<()> {
    let leaf = container.join("init");
    create_dir(&leaf)?;
    for pid in read_to_string(container.join("cgroup.procs"))?.lines() {
        write(leaf.join("cgroup.procs"), pid)?;
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    if args().nth(1).as_deref() == Some("job") {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
        return Ok(checkpoint::reached("job")?);
    }
    // Not yours to change: somebody has made a container, and we are in it.
    let top = Path::new("/sys/fs/cgroup/dockster-mine");
    let container = top.join("container");
    create_dir_all(&container)?;
    write(top.join("cgroup.subtree_control"), "+memory")?;
    write(container.join("memory.max"), "128M")?;
    let mut helper = Command::new("sleep").arg("60").spawn()?;
    for pid in [helper.id(), id()] {
        write(container.join("cgroup.procs"), pid.to_string())?;
    }

    make_room(&container)?;

    let hand_on = container.join("cgroup.subtree_control");
    write(&hand_on, "+memory").with_context(|| format!("+memory to {}", hand_on.display()))?;
    let place = container.join("job");
    create_dir(&place)?;
    write(place.join("memory.max"), "64M")?;
    let mut job = Command::new(current_exe()?).arg("job").stdin(Stdio::piped()).spawn()?;
    write(place.join("cgroup.procs"), job.id().to_string())?;
    job.wait()?;
    helper.kill()?;
    helper.wait()?;
    Ok(())
}
