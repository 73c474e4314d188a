//! Rung 3: pivot_root, and it says EINVAL.
//!
//! Shows: EINVAL
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, pivot_root};

fn main() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    // Nothing that we mount shall come back to the host.
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    // A mount of our own, and in the middle of it a directory.
    let bind = MsFlags::MS_REC | MsFlags::MS_BIND;
    mount(Some("/usr"), "/usr", None::<&str>, bind, None::<&str>)?;
    chdir("/usr/bin")?;
    match pivot_root(".", ".") {
        Ok(()) => println!("/usr/bin is / now"),
        Err(errno) => println!("pivot_root: {errno}"),
    }
    Ok(())
}
