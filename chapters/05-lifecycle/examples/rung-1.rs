//! Rung 1: number 1 waits for its service, and for nobody else.
//! Shows: 3 zombies
use std::process::{Command, Stdio};
use std::{env, fs, io, io::Write, thread::sleep, time::Duration};

use nix::sched::{CloneFlags, unshare};

fn main() -> io::Result<()> {
    if env::args().nth(1).as_deref() == Some("init") {
        let service = "while read word; do (true &) done"; // starts helpers, and forgets them
        return Command::new("sh").args(["-c", service]).status().map(drop);
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID)?;
    let mut init = Command::new(env::current_exe()?).arg("init").stdin(Stdio::piped()).spawn()?;
    let its = format!("/proc/{0}/task/{0}/children", init.id());
    let zombie = |pid: &&str| {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z"))
    };
    for _ in 1..=3 {
        writeln!(init.stdin.as_mut().unwrap(), "one more")?;
        sleep(Duration::from_millis(300));
        println!("{} zombies", fs::read_to_string(&its)?.split(' ').filter(zombie).count());
    }
    init.wait().map(drop)
}
