//! 04.4: a published port, from everywhere.

use std::env::{args, current_exe};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use anyhow::{Result, ensure};

/// For nft(8): port 8080 of the host is port 80 of 10.4.0.3.
const RULES: &str = "
    add table ip mine; add chain ip mine in { type nat hook prerouting priority -100; }
    add rule ip mine in fib daddr type local tcp dport 8080 dnat to 10.4.0.3:80
    add chain ip mine own { type nat hook output priority -100; }
    add rule ip mine own fib daddr type local tcp dport 8080 dnat to 10.4.0.3:80
    add chain ip mine out { type nat hook postrouting priority 100; }
    add rule ip mine out ip saddr 10.4.0.0/24 oifname br0 ct status dnat masquerade";

/// Not yours to change, nor what follows: a host, a bridge with two containers, and the world.
const NETWORK: &str = "
    echo 1 > /proc/sys/net/ipv4/ip_forward
    ip link set lo up; ip link add br0 up type bridge; ip addr add 10.4.0.1/24 dev br0
    f=/proc/sys/net/bridge/bridge-nf-call-iptables; [ ! -e $f ] || echo 0 > $f
    for name in one two world; do ip netns add $name; done
    for c in one:2 two:3; do n=${c%:*}
        ip link add to-$n up master br0 type veth peer name eth0 netns $n
        ip -n $n addr add 10.4.0.${c#*:}/24 dev eth0; ip -n $n link set eth0 up
        ip -n $n route add default via 10.4.0.1; done
    ip link add out up type veth peer name eth0 netns world; ip -n world link set eth0 up
    ip addr add 192.0.2.1/24 dev out; ip -n world addr add 192.0.2.2/24 dev eth0";

fn run(words: &[&str]) -> Result<()> {
    ensure!(Command::new(words[0]).args(&words[1..]).status()?.success(), "{words:?} fails");
    Ok(())
}

fn main() -> Result<()> {
    if let Some(role) = args().nth(1) {
        return if role == "serve" { serve() } else { call(&role) };
    }
    run(&["sh", "-e", "-c", &format!("{NETWORK}; nft '{RULES}'")])?;
    let own = &current_exe()?.display().to_string();
    let mut server = Command::new("ip").args(["netns", "exec", "two", own, "serve"]).spawn()?;
    run(&["sh", "-c", "until ip netns exec two ss -Hltn | grep -q :80; do :; done"])?;
    run(&["ip", "netns", "exec", "world", own, "world"])?;
    run(&[own, "host"])?;
    run(&["ip", "netns", "exec", "one", own, "one"])?;
    Ok(server.kill()?)
}

fn serve() -> Result<()> {
    let server = TcpListener::bind("0.0.0.0:80")?;
    checkpoint::reached("serving")?;
    Ok(server.incoming().try_for_each(|caller| caller.map(std::mem::forget))?)
}

fn call(from: &str) -> Result<()> {
    let to = "192.0.2.1:8080".parse()?;
    let _connection = TcpStream::connect_timeout(&to, std::time::Duration::from_secs(2));
    Ok(checkpoint::reached(from)?)
}
