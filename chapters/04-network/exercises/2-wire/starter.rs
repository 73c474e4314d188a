//! 04.2: two namespaces, and no wire between them.

use std::env::{args, current_exe};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};

use anyhow::{Result, ensure};

/// For sh(1): connects the namespaces `one` and `two`.
const WIRE: &str = "ip -n one link; ip -n two link";

/// Not yours to change, nor what follows.
const NAMESPACES: &str = "ip netns add one; ip netns add two";

fn shell(script: &str) -> Result<()> {
    ensure!(Command::new("sh").args(["-e", "-c", script]).status()?.success(), "it fails");
    Ok(())
}

fn main() -> Result<()> {
    if let Some(role) = args().nth(1) {
        return if role == "serve" { serve() } else { call() };
    }
    shell(NAMESPACES)?;
    shell(WIRE)?;
    let mut server = inside("two", "serve")?;
    shell("until ip netns exec two ss -Hltn | grep -q :80; do :; done")?;
    ensure!(inside("one", "call")?.wait()?.success(), "one does not reach two");
    Ok(server.kill()?)
}

/// This program again, in a namespace.
fn inside(namespace: &str, role: &str) -> Result<Child> {
    let own = &current_exe()?.display().to_string();
    Ok(Command::new("ip").args(["netns", "exec", namespace, own, role]).spawn()?)
}

fn serve() -> Result<()> {
    let _caller = TcpListener::bind("0.0.0.0:80")?.accept()?;
    std::thread::sleep(std::time::Duration::from_secs(60));
    Ok(())
}

fn call() -> Result<()> {
    let _server = TcpStream::connect("10.4.0.2:80")?;
    Ok(checkpoint::reached("connected")?)
}
