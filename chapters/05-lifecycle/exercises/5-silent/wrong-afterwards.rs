//! 05.5: a keeper of logs. It remembers all, and writes it down at the end.

use std::env::{args, current_exe};
use std::fs;
use std::io::{Write, stderr, stdout};
use std::process::{Child, Command, Stdio};

/// Until the service ends: what it says goes to out.log, and what it complains of to err.log.
fn keep(service: Child) -> anyhow::Result<()> {
    let said = service.wait_with_output()?;
    fs::write("out.log", said.stdout)?;
    fs::write("err.log", said.stderr)?;
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
