//! 02.2: a cell, and a prisoner who knows the way out.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, chroot, pivot_root};

fn main() -> anyhow::Result<()> {
    let cell = PathBuf::from(std::env::args_os().nth(1).expect("the cell's path"));
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    lock_up(&cell)?;
    // Whether he gets out is not for him to say.
    let _ = break_out();
    checkpoint::reached("tried")?;
    Ok(())
}

/// Makes the cell all that there is.
fn lock_up(cell: &Path) -> nix::Result<()> {
    mount(Some(cell), cell, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    chdir(cell)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")
}

/// The prisoner. Leave him as he is.
fn break_out() -> nix::Result<()> {
    chdir("/")?;
    chroot("/bin")?;
    for _ in 0..20 {
        chdir("..")?;
    }
    chroot(".")
}
