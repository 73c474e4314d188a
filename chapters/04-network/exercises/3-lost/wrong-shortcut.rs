//! 04.3: a network with a wire past the router.

use std::env::{args, current_exe};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Result, ensure};

/// What you type to mend it.
const MEND: &str = r"
    ip link add past up netns one type veth peer name past netns two; ip -n two link set past up
    ip -n one route add 10.4.2.2 dev past
    ip -n two route add 10.4.1.2 dev past";

/// Not yours to change, nor what follows: a network, as somebody has left it.
const NETWORK: &str = "
    for name in one router two; do ip netns add $name; done
    ip link add eth0 up netns one type veth peer name left netns router; ip -n router link set left up
    ip link add eth0 up netns two type veth peer name right netns router; ip -n router link set right up
    ip -n one addr add 10.4.1.2/24 dev eth0
    ip -n router addr add 10.4.1.1/24 dev left
    ip -n router addr add 10.4.2.1/32 dev right
    ip -n two addr add 10.4.2.2/24 dev eth0
    ip -n one route add default via 10.4.1.1";

fn shell(script: &str) -> Result<()> {
    ensure!(Command::new("sh").args(["-e", "-c", script]).status()?.success(), "it fails");
    Ok(())
}

fn main() -> Result<()> {
    if let Some(role) = args().nth(1) {
        return if role == "serve" { serve() } else { call() };
    }
    shell(NETWORK)?;
    shell(MEND)?;
    let mut server = inside("two", "serve")?;
    shell("until ip netns exec two ss -Hltn | grep -q :80; do :; done")?;
    ensure!(inside("one", "call")?.wait()?.success(), "one does not reach two");
    Ok(server.kill()?)
}

fn inside(namespace: &str, role: &str) -> Result<Child> {
    let own = &current_exe()?.display().to_string();
    Ok(Command::new("ip").args(["netns", "exec", namespace, own, role]).spawn()?)
}

fn serve() -> Result<()> {
    let _caller = TcpListener::bind("0.0.0.0:80")?.accept()?;
    Ok(checkpoint::reached("called")?)
}

fn call() -> Result<()> {
    let address = "10.4.2.2:80".parse()?;
    let _server = TcpStream::connect_timeout(&address, Duration::from_secs(3))?;
    std::thread::sleep(Duration::from_secs(1));
    Ok(())
}
