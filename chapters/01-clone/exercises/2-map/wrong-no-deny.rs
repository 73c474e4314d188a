//! 01.2: a child that is user 1000 inside. Its groups can be left.

use std::io::{self, BufRead, Write};
use std::process::{Command, Stdio};
use std::{env, fs};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

/// Gives the child's new user namespace its maps.
fn map(child: u32) -> io::Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    fs::write(format!("/proc/{child}/uid_map"), format!("1000 {uid} 1"))?;
    fs::write(format!("/proc/{child}/gid_map"), format!("1000 {gid} 1"))
}

fn main() -> io::Result<()> {
    if env::args().nth(1).as_deref() == Some("child") {
        return child();
    }
    let mut command = Command::new(env::current_exe()?);
    let mut child = command.arg("child").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (mut to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    io::BufReader::new(from).read_line(&mut String::new())?;
    map(child.id())?;
    to.write_all(b"go\n")?;
    child.wait().map(drop)
}

/// Makes its namespace, says so, and waits.
fn child() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
    println!("here");
    if io::stdin().lock().read_line(&mut String::new())? == 0 {
        return Err(io::Error::other("the parent died at the gate"));
    }
    checkpoint::reached("inside")
}
