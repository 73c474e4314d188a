//! Rung 1: a new root, and a shell that is there and cannot be started.
//!
//! Shows: /sh is there: true
//! Shows: /etc is there: false
//! Shows: ENOENT
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, chroot};

fn main() -> nix::Result<()> {
    // Inside a user namespace of our own we may call chroot.
    unshare(CloneFlags::CLONE_NEWUSER)?;
    chroot("/bin")?;
    chdir("/")?;
    println!("/sh is there: {}", Path::new("/sh").exists());
    println!("/etc is there: {}", Path::new("/etc").exists());
    let error = Command::new("/sh").exec();
    println!("/sh: {}", nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(0)));
    Ok(())
}
