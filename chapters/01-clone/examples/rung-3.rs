//! Rung 3: the parent writes the map, and the child does not wait for it.
//! Shows: the child: no id 0: EINVAL
//! Shows: the parent: here is your map

use std::{env, fs, io, process::Command, thread::sleep, time::Duration};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Uid, geteuid, setuid};

fn main() -> io::Result<()> {
    if env::args().len() > 1 {
        unshare(CloneFlags::CLONE_NEWUSER)?;
        match setuid(Uid::from_raw(0)) {
            Ok(()) => println!("the child: I am root"),
            Err(errno) => println!("the child: no id 0: {errno:?}"),
        }
        return Ok(());
    }
    let mut child = Command::new(env::current_exe()?).arg("child").spawn()?;
    sleep(Duration::from_millis(300)); // Parents are busy.
    println!("the parent: here is your map");
    let map = format!("/proc/{}/uid_map", child.id());
    let _ = fs::write(map, format!("0 {} 1", geteuid())); // Too late, if it is.
    child.wait().map(drop)
}
