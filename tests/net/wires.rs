//! Containers reach each other, and nothing stays of their wires.

use dockster_tests::{Failed, Trial, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::street::start;
use crate::tools::{Background, House, PATIENCE, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("neighbours_reach_each_other", &[], neighbours),
        beside("an_address_that_was_asked_for_is_kept", &[], an_address_is_kept),
        beside("a_container_is_on_several_networks", &[], several_networks),
        beside("who_is_killed_leaves_no_wire", &[], who_is_killed),
        beside("who_is_refused_leaves_nobody", &[], who_is_refused),
    ]
}

fn address(house: &House, network: &str, name: &str) -> Result<String, Failed> {
    let shape = format!("{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}");
    let done = house.dockster(["inspect", "-f", &shape, name]).success()?;
    Ok(done.stdout.trim().to_owned())
}

fn neighbours() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["network", "create", "web"]).success()?;
    start(&house, &["--network", "bridge"], "usual")?;
    start(&house, &["--network", "web"], "one")?;
    let (usual, one) = (address(&house, "bridge", "usual")?, address(&house, "web", "one")?);
    house.sh(["--network", "web"], &format!("ping -c 1 -w 10 {one}")).success()?;
    house.sh(["--network", "bridge"], &format!("ping -c 1 -w 10 {usual}")).success()?;
    // Another network's are not reached.
    house.sh(["--network", "bridge"], &format!("! ping -c 1 -w 1 {one}")).success()?;
    let done = house.sh(["--network", "web", "--hostname", "box.test"], "cat /etc/hosts; ip addr");
    done.success()?.says("\tbox.test box\n")?.says("eth0")?;
    house.dockster(["rm", "-f", "usual", "one"]).success()?;
    house.dockster(["network", "rm", "web"]).success()?;
    house.nothing_left()
}

fn an_address_is_kept() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["network", "create", "--subnet", "10.78.1.0/24", "web"]).success()?;
    start(&house, &["--network", "web", "--ip", "10.78.1.77"], "it")?;
    for _ in 0..2 {
        assert_eq!(address(&house, "web", "it")?, "10.78.1.77");
        let script = "ip addr show eth0; grep 10.78.1.77 /etc/hosts";
        let done = house.dockster(["exec", "it", "sh", "-c", script]).success()?;
        done.says("inet 10.78.1.77/24")?;
        house.dockster(["restart", "-t", "0", "it"]).success()?;
    }
    house.dockster(["stop", "-t", "0", "it"]).success()?;
    assert_eq!(address(&house, "web", "it")?, "");
    let ip = ["--network", "bridge", "--ip", "172.17.0.9", "busybox", "true"];
    let words = "user specified IP address is supported on user defined networks only";
    house.run(ip).code(125)?.complains(words)?;
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn several_networks() -> Result<(), Failed> {
    let house = House::new()?;
    for name in ["one", "two", "three"] {
        house.dockster(["network", "create", name]).success()?;
    }
    start(&house, &["--network", "one", "--network", "name=two,alias=x"], "it")?;
    let links = ["exec", "it", "ls", "/sys/class/net"];
    assert_eq!(house.dockster(links).success()?.stdout, "eth0\neth1\nlo\n");
    house.dockster(["network", "connect", "three", "it"]).success()?;
    assert_eq!(house.dockster(links).success()?.stdout, "eth0\neth1\neth2\nlo\n");
    let done = house.dockster(["network", "connect", "three", "it"]).code(1)?;
    done.complains("endpoint with name it already exists in network three")?;
    house.dockster(["network", "disconnect", "two", "it"]).success()?;
    assert_eq!(house.dockster(links).success()?.stdout, "eth0\neth2\nlo\n");
    house
        .dockster(["network", "disconnect", "two", "it"])
        .code(1)?
        .complains("is not connected")?;
    let done = house.dockster(["ps", "--format", "{{.Networks}}"]).success()?;
    assert_eq!(done.stdout, "one,three\n");
    house.dockster(["rm", "-f", "it"]).success()?;
    house.dockster(["network", "prune", "-f"]).success()?;
    house.nothing_left()
}

fn who_is_killed() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "echo ready; sleep 1000";
    let run = ["run", "--rm", "--network", "bridge", "busybox", "sh", "-c", script];
    let one = Background::ready(house.dockster(run))?;
    kill(Pid::from_raw(one.pid()), Signal::SIGKILL)?;
    drop(one);
    wait_until("its lease is given back", PATIENCE, || {
        let swept = house.dockster(["network", "ls"]).success().is_ok();
        let seen = ["network", "inspect", "-f", "{{json .Containers}}", "bridge"];
        swept && house.dockster(seen).success().is_ok_and(|done| done.stdout == "{}\n")
    })?;
    house.nothing_left()
}

fn who_is_refused() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["network", "create", "--subnet", "10.78.2.0/24", "web"]).success()?;
    let run = ["--network", "web", "--ip", "10.79.0.1", "busybox", "true"];
    house.run(run).code(125)?.complains("10.79.0.1")?;
    house.nothing_left()
}
