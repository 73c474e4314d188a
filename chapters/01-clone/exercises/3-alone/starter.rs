//! 01.3: a worker that must not outlive its supervisor.

use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::{env, thread, time::Duration};

fn main() -> io::Result<()> {
    match env::args().nth(1).as_deref() {
        Some("supervisor") => supervise(),
        Some("worker") => work(),
        _ => {
            myself("supervisor")?.spawn()?.wait()?;
            checkpoint::reached("over")
        }
    }
}

fn myself(role: &str) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(role);
    Ok(command)
}

/// Makes the worker, prepares something for it, and says go.
fn supervise() -> io::Result<()> {
    let mut worker = myself("worker")?.stdin(Stdio::piped()).spawn()?;
    checkpoint::reached("prepares")?;
    worker.stdin.as_mut().expect("a pipe").write_all(b"go\n")?;
    worker.wait().map(drop)
}

fn work() -> io::Result<()> {
    checkpoint::reached("born")?;
    let mut word = String::new();
    io::stdin().read_line(&mut word)?;
    checkpoint::reached("working")?;
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}
