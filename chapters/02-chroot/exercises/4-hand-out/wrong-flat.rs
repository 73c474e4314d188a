//! 02.4: a tree to look at, and not to touch.

use std::fs::{create_dir, write};
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

const NONE: Option<&str> = None;

fn main() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
    for place in ["data", "data/below"] {
        create_dir(place)?;
        mount(Some("data"), place, Some("tmpfs"), MsFlags::empty(), NONE)?;
        write(Path::new(place).join("letter"), "read me")?;
    }
    create_dir("view")?;
    hand_out(Path::new("data"), Path::new("view"))?;
    checkpoint::reached("handed out")?;
    Ok(())
}

/// Shows all of `data` at `view`, and lets nobody write there.
fn hand_out(data: &Path, view: &Path) -> anyhow::Result<()> {
    mount(Some(data), view, NONE, MsFlags::MS_BIND, NONE)?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(NONE, view, NONE, flags, NONE)?;
    Ok(())
}
