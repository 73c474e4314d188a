//! Rung 2: a process gives its new user namespace two lines of map, by itself.
//! Shows: one line: Ok
//! Shows: two lines: Err
//! Shows: Operation not permitted

use std::{env, fs, io, process::Command};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;

fn main() -> io::Result<()> {
    let Some(map) = env::args().nth(1) else {
        // A map is written once: each try takes a new process.
        let me = geteuid();
        for map in [format!("0 {me} 1"), format!("0 {me} 1\n1 100000 65536")] {
            Command::new(env::current_exe()?).arg(map).status()?;
        }
        return Ok(());
    };
    unshare(CloneFlags::CLONE_NEWUSER)?;
    let lines = if map.contains('\n') { "two lines" } else { "one line" };
    let written = fs::write("/proc/self/uid_map", map);
    println!("{lines}: {:?}", written.map_err(|error| error.to_string()));
    Ok(())
}
