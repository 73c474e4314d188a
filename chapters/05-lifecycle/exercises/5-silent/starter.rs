//! 05.5: a keeper of logs. Its service stands still.

use std::env::{args, current_exe};
use std::fs::File;
use std::io::{Write, copy, stderr, stdout};
use std::process::{Child, Command, Stdio};

/// Until the service ends: what it says goes to out.log, and what it complains of to err.log.
fn keep(mut service: Child) -> anyhow::Result<()> {
    copy(&mut service.stdout.take().unwrap(), &mut File::create("out.log")?)?;
    copy(&mut service.stderr.take().unwrap(), &mut File::create("err.log")?)?;
    service.wait()?;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    if args().nth(1).as_deref() == Some("service") {
        return serve();
    }
    let mut service = Command::new(current_exe()?);
    service.arg("service").stdout(Stdio::piped()).stderr(Stdio::piped());
    keep(service.spawn()?)
}

/// Not yours to change: it has much to say, on both.
fn serve() -> anyhow::Result<()> {
    checkpoint::reached("begin")?;
    let line = "x".repeat(999) + "\n";
    for _ in 0..100 {
        stderr().write_all(line.as_bytes())?;
    }
    for _ in 0..100 {
        stdout().write_all(line.as_bytes())?;
    }
    for _ in 0..100 {
        stderr().write_all(line.as_bytes())?;
    }
    Ok(checkpoint::reached("done")?)
}
