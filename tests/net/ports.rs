//! Published ports.

use std::io::Read;
use std::net::TcpStream;

use dockster_tests::{Failed, Trial, wait_until};

use crate::tools::{House, PATIENCE, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("a_published_port_is_reached", &[], a_published_port_is_reached),
        beside("a_port_has_one_holder", &[], a_port_has_one_holder),
        beside("what_is_no_port_is_said", &[], what_is_no_port),
    ]
}

/// Says `hello` to whoever comes.
const SERVER: &str = "while :; do echo hello | nc -l -p 80; done";

fn a_published_port_is_reached() -> Result<(), Failed> {
    let house = House::new()?;
    let run = ["run", "-d", "--name", "it", "-p", "127.0.0.1::80", "--expose", "90/udp"];
    house.dockster(run).args(["busybox", "sh", "-c", SERVER]).success()?;
    let at = house.dockster(["port", "it", "80"]).success()?.stdout;
    let at = at.trim();
    wait_until("the container answers", PATIENCE, || {
        let mut said = String::new();
        let heard = TcpStream::connect(at).and_then(|mut line| line.read_to_string(&mut said));
        heard.is_ok() && said == "hello\n"
    })?;
    let done = house.dockster(["port", "it"]).success()?;
    assert_eq!(done.stdout, format!("80/tcp -> {at}\n"));
    let done = house.dockster(["ps", "--format", "{{.Ports}} {{.Networks}}"]).success()?;
    assert_eq!(done.stdout, format!("{at}->80/tcp, 90/udp bridge\n"));
    let shape = "{{json .NetworkSettings.Ports}}";
    let done = house.dockster(["inspect", "-f", shape, "it"]).success()?;
    done.says("\"HostIp\":\"127.0.0.1\"")?.says("\"90/udp\":null")?;
    let done = house.dockster(["port", "it", "81"]).code(1)?;
    done.complains("no public port '81/tcp' published for it")?;
    house.dockster(["rm", "-f", "it"]).success()?;
    assert!(TcpStream::connect(at).is_err());
    house.nothing_left()
}

fn a_port_has_one_holder() -> Result<(), Failed> {
    let house = House::new()?;
    let run = ["run", "-d", "--name", "one", "-p", "8080:80", "busybox", "sleep", "1000"];
    house.dockster(run).success()?;
    let done = house.run(["-p", "8080:81", "busybox", "true"]).code(125)?;
    done.complains("Bind for 0.0.0.0:8080 failed: port is already allocated")?;
    house.dockster(["rm", "-f", "one"]).success()?;
    house.run(["-p", "8080:81", "busybox", "true"]).success()?;
    house.nothing_left()
}

fn what_is_no_port() -> Result<(), Failed> {
    let house = House::new()?;
    for (text, words) in [
        ("90:x", "invalid containerPort: x"),
        ("x:80", "invalid hostPort: x"),
        ("1.2.3:90:80", "invalid IP address: 1.2.3"),
        ("80/icmp", "invalid proto: icmp"),
    ] {
        house.run(["-p", text, "busybox", "true"]).code(125)?.complains(words)?;
    }
    house.nothing_left()
}
