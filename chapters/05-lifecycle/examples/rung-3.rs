//! Rung 3: a pipe for what it says, and nobody who reads.
//! Shows: still running
//! Shows: 65536 of 100000 bytes
use std::io::{Read, Result};
use std::process::{Command, Stdio};
use std::{thread::sleep, time::Duration};

fn main() -> Result<()> {
    let words = ["if=/dev/zero", "bs=100000", "count=1", "status=none"];
    let mut child = Command::new("dd").args(words).stdout(Stdio::piped()).spawn()?;
    sleep(Duration::from_secs(1)); // it takes a millisecond, if somebody reads
    match child.try_wait()? {
        Some(status) => println!("it ended: {status}"),
        None => println!("still running, after a second"),
    }
    child.kill()?;
    child.wait()?;
    let mut said = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut said)?;
    println!("{} of 100000 bytes were in the pipe", said.len());
    Ok(())
}
