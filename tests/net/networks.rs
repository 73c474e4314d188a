//! `dockster network`, in docker's shapes.

use dockster_tests::{Failed, Trial};

use crate::tools::{House, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("three_networks_are_there", &[], three_networks_are_there),
        beside("a_network_is_made_seen_and_removed", &[], a_network_is_made),
        beside("what_is_no_network_is_said", &[], what_is_no_network),
        beside("a_packets_way_is_explained", &[], a_way_is_explained),
        beside("one_in_use_stays", &[], one_in_use_stays),
    ]
}

fn three_networks_are_there() -> Result<(), Failed> {
    let house = House::empty();
    let listed = house.dockster(["network", "ls"]).success()?.stdout;
    let lines: Vec<Vec<_>> = listed.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]);
    let rows: Vec<_> = lines[1..].iter().map(|row| row[1..].to_vec()).collect();
    let wanted =
        [["bridge", "bridge", "local"], ["host", "host", "local"], ["none", "null", "local"]];
    assert_eq!(rows, wanted);
    assert!(lines[1..].iter().all(|row| row[0].len() == 12));
    let only = ["network", "ls", "-q", "-f", "driver=null", "--no-trunc"];
    assert_eq!(house.dockster(only).success()?.stdout.trim().len(), 64);
    for name in ["bridge", "host", "none"] {
        let done = house.dockster(["network", "rm", name]).code(1)?;
        done.complains("is a pre-defined network and cannot be removed")?;
    }
    Ok(())
}

fn a_network_is_made() -> Result<(), Failed> {
    let house = House::new()?;
    let options = ["--subnet", "10.77.1.0/24", "--gateway", "10.77.1.9", "--label", "a=b"];
    let made = house.dockster(["network", "create", "web"]).args(options).success()?;
    assert_eq!(made.stdout.trim().len(), 64);
    house.dockster(["network", "create", "web"]).code(1)?.complains("already exists")?;
    let listed = ["network", "ls", "-f", "label=a=b", "--format", "{{.Name}} {{.ID}}"];
    let short = &made.stdout[..12];
    assert_eq!(house.dockster(listed).success()?.stdout, format!("web {short}\n"));
    let shape = "{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{.EnableIPv6}} {{.Labels}}";
    let done = house.dockster(["network", "inspect", "-f", shape, short]).success()?;
    assert_eq!(done.stdout, "web bridge local false false map[a:b]\n");
    let done = house.dockster(["network", "inspect", "web"]).success()?;
    done.says("\"Subnet\": \"10.77.1.0/24\"")?.says("\"Gateway\": \"10.77.1.9\"")?;
    // A container that was made is on it, so prune leaves it.
    house.dockster(["create", "--name", "it", "--network", "web", "busybox", "true"]).success()?;
    assert_eq!(house.dockster(["network", "prune", "-f"]).success()?.stdout, "");
    house.dockster(["rm", "it"]).success()?;
    let done = house.dockster(["network", "prune", "-f"]).success()?;
    assert_eq!(done.stdout, "Deleted Networks:\nweb\n\n");
    house.nothing_left()
}

fn what_is_no_network() -> Result<(), Failed> {
    let house = House::empty();
    let done = house.dockster(["network", "inspect", "no"]).code(1)?;
    done.complains("network no not found")?;
    house.dockster(["network", "rm", "no"]).code(1)?.complains("network no not found")?;
    house.dockster(["network", "rm", "-f", "no"]).success()?;
    let done = house.dockster(["network", "create", "-d", "no", "x"]).code(1)?;
    done.complains("plugin \"no\" not found")?;
    house.dockster(["network", "ls", "-f", "x=y"]).code(1)?.complains("invalid filter 'x=y'")?;
    Ok(())
}

fn one_in_use_stays() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["network", "create", "web"]).success()?;
    let run = ["run", "-d", "--name", "it", "--network", "web", "busybox", "sleep", "1000"];
    house.dockster(run).success()?;
    let done = house.dockster(["network", "rm", "web"]).code(1)?;
    done.complains("network web has active endpoints (it)")?;
    let seen = ["network", "inspect", "-f", "{{json .Containers}}", "web"];
    house.dockster(seen).success()?.says("\"Name\":\"it\"")?;
    house.dockster(["rm", "-f", "it"]).success()?;
    assert_eq!(house.dockster(["network", "rm", "web"]).success()?.stdout, "web\n");
    house.nothing_left()
}

fn a_way_is_explained() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["network", "create", "--subnet", "10.78.3.0/24", "web"]).success()?;
    let run = ["run", "-d", "--name", "it", "--network", "web", "-p", "18087:80"];
    house.dockster(run).args(["busybox", "sleep", "1000"]).success()?;
    let done = house.dockster(["network", "explain", "web"]).success()?;
    // The container, and the port that leads to it.
    done.says("10.78.3.2")?.says("18087")?.says("masquerade")?;
    // That of one container, without its neighbour's.
    house.dockster(["create", "--name", "off", "busybox", "true"]).success()?;
    let run = ["run", "-d", "--name", "neighbour", "--network", "web"];
    house.dockster(run).args(["busybox", "sleep", "1000"]).success()?;
    let done = house.dockster(["network", "explain", "it"]).success()?;
    done.says("10.78.3.2")?.says("18087")?.says("masquerade")?;
    assert!(!done.stdout.contains("10.78.3.3"), "{}", done.stdout);
    let done = house.dockster(["network", "explain", "off"]).code(1)?;
    done.complains("container off is on no network now")?;
    house.dockster(["rm", "-f", "it", "off", "neighbour"]).success()?;
    house.dockster(["network", "explain", "none-such"]).code(1)?;
    house.dockster(["network", "rm", "web"]).success()?;
    house.nothing_left()
}
