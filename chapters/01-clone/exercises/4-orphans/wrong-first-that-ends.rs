//! 01.4: number 1 of a PID namespace, and the orphans of its service.

use std::process::{Command, ExitCode};
use std::{env, io};

use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, wait};

/// Helpers that nobody waits for, and then a service that runs until it is told to stop.
const SERVICE: &str = "
    (sh -c ': > helper-1' &)
    (sh -c ': > helper-2' &)
    until [ -s stop ]; do sleep 0.05; done
    kill \"-$(cat stop)\" $$; exit 7";

fn main() -> io::Result<ExitCode> {
    if env::args().nth(1).as_deref() == Some("init") {
        checkpoint::reached("init")?;
        return init();
    }
    // Its first child is number 1.
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID)?;
    let status = Command::new(env::current_exe()?).arg("init").status()?;
    Ok(ExitCode::from(status.code().unwrap_or(255) as u8))
}

/// Starts the service, and is number 1 for it.
fn init() -> io::Result<ExitCode> {
    Command::new("sh").args(["-c", SERVICE]).spawn()?;
    match wait()? {
        WaitStatus::Exited(_, status) => Ok(ExitCode::from(status as u8)),
        _ => Ok(ExitCode::from(255)),
    }
}
