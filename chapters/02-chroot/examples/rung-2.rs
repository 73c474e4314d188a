//! Rung 2: out of a chroot, with the means of the prisoner alone.
//!
//! Shows: in the cell, /etc/passwd is there: false
//! Shows: back outside, /etc/passwd is there: true
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, chroot};

fn main() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
    chroot("/usr")?;
    chdir("/")?;
    println!("in the cell, /etc/passwd is there: {}", Path::new("/etc/passwd").exists());

    // A second, smaller root. The working directory stays where it was: outside it.
    chroot("/bin")?;
    for _ in 0..20 {
        chdir("..")?;
    }
    chroot(".")?;
    println!("back outside, /etc/passwd is there: {}", Path::new("/etc/passwd").exists());
    Ok(())
}
