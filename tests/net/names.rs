//! Containers find each other by name, and ports are passed on: what netd does.

use std::fs;
use std::io::Read;
use std::net::TcpStream;

use dockster_tests::{Failed, Trial, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::tools::{House, PATIENCE, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("a_neighbour_is_found_by_name", &[], by_name),
        beside("a_port_is_published_in_both_families", &[], both_families),
        beside("netd_that_was_killed_is_started_again", &[], killed),
    ]
}

/// Says `hello` to whoever comes.
const SERVER: &str = "while :; do echo hello | nc -l -p 80; done";

fn serve(house: &House, options: &[&str], name: &str) -> Result<(), Failed> {
    let run = house.dockster(["run", "-d", "--name", name]).args(options);
    run.args(["busybox", "sh", "-c", SERVER]).success().map(drop)
}

/// Whether somebody on the network hears it at that name.
fn hears(house: &House, network: &str, name: &str) -> bool {
    let call = format!("nc -w 5 {name} 80 </dev/null");
    house.sh(["--network", network], &call).done().is_ok_and(|done| done.stdout == "hello\n")
}

fn by_name() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["network", "create", "web"]).success()?;
    house.dockster(["network", "create", "other"]).success()?;
    serve(&house, &["--network", "web", "--network-alias", "also"], "server")?;
    wait_until("it is heard by its name", PATIENCE, || hears(&house, "web", "server"))?;
    wait_until("and by another one", PATIENCE, || hears(&house, "web", "also"))?;
    let ask = "nslookup server || nc -w 2 server 80 </dev/null";
    let done = house.sh(["--network", "other"], ask).done()?;
    assert!(!done.status.success(), "a name of another network is known: {}", done.stdout);
    house.dockster(["rm", "-f", "server"]).success()?;
    house.dockster(["network", "rm", "web", "other"]).success()?;
    house.nothing_left()
}

fn heard(at: &str) -> bool {
    let mut said = String::new();
    let heard = TcpStream::connect(at).and_then(|mut line| line.read_to_string(&mut said));
    heard.is_ok() && said == "hello\n"
}

fn both_families() -> Result<(), Failed> {
    let house = House::new()?;
    // An ordinary user's is a port of the host itself: no other test has this one.
    let port = 18_085;
    serve(&house, &["-p", &format!("{port}:80")], "server")?;
    for host in ["127.0.0.1", "[::1]"] {
        wait_until("the port answers", PATIENCE, || heard(&format!("{host}:{port}")))?;
    }
    house.dockster(["rm", "-f", "server"]).success()?;
    for host in ["127.0.0.1", "[::1]"] {
        let at = format!("{host}:{port}");
        wait_until("nobody listens", PATIENCE, || TcpStream::connect(&at).is_err())?;
    }
    house.nothing_left()
}

/// The netd of this root.
fn netd(house: &House) -> Option<Pid> {
    let dir = house.root().join("networks");
    let dir = dir.to_str()?;
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let line = fs::read_to_string(process.path().join("cmdline")).ok()?;
        let mut words = line.split('\0');
        let own = words.next() == Some("dockster-netd") && words.next() == Some(dir);
        own.then_some(Pid::from_raw(pid))
    })
}

fn killed() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["network", "create", "web"]).success()?;
    let port = 18_086;
    serve(&house, &["--network", "web", "-p", &format!("{port}:80")], "server")?;
    wait_until("it is heard by its name", PATIENCE, || hears(&house, "web", "server"))?;
    let first = netd(&house).ok_or("there is no netd")?;
    kill(first, Signal::SIGKILL)?;
    // Any command that comes or goes on a network brings it back, with all its sockets.
    wait_until("it is heard again", PATIENCE, || hears(&house, "web", "server"))?;
    let second = netd(&house).ok_or("there is no netd again")?;
    assert_ne!(first, second);
    wait_until("the port answers", PATIENCE, || heard(&format!("[::1]:{port}")))?;
    house.dockster(["rm", "-f", "server"]).success()?;
    house.dockster(["network", "rm", "web"]).success()?;
    wait_until("netd ends", PATIENCE, || netd(&house).is_none())?;
    house.nothing_left()
}
