//! Networks that need no wire, and the files by which names are found.

use dockster_tests::{Failed, Trial};

use crate::tools::{House, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("none_has_only_its_loopback", &[], none),
        beside("host_is_the_network_of_the_host", &[], host),
        beside("a_container_joins_another", &[], a_container_joins_another),
        beside("what_cannot_be_joined_is_said", &[], what_cannot_be_joined),
        beside("names_are_found_by_files", &[], names_are_found_by_files),
        beside("files_are_written_at_each_start", &[], files_are_written_at_each_start),
        beside("mount_points_are_not_the_containers", &[], mount_points),
    ]
}

fn none() -> Result<(), Failed> {
    let house = House::new()?;
    let done = house.sh(["--network", "none"], "ls /sys/class/net").success()?;
    assert_eq!(done.stdout, "lo\n");
    house.nothing_left()
}

fn host() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "readlink /proc/self/ns/net; hostname; ls /sys/class/net";
    let done = house.sh(["--net", "host"], script).success()?;
    let ours = std::fs::read_link("/proc/self/ns/net")?;
    assert_eq!(done.stdout.lines().next(), ours.to_str());
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    assert_eq!(done.stdout.lines().nth(1), Some(name.trim()));
    done.says("lo")?;
    house.nothing_left()
}

fn a_container_joins_another() -> Result<(), Failed> {
    let house = House::new()?;
    let options = ["--name", "first", "--network", "none", "--hostname", "one"];
    house.dockster(["run", "-d"]).args(options).args(["busybox", "sleep", "1000"]).success()?;
    let script = "readlink /proc/self/ns/net; hostname; cat /etc/hostname";
    let first = house.dockster(["exec", "first", "sh", "-c", script]).success()?;
    let second = house.sh(["--network", "container:first"], script).success()?;
    assert_eq!(first.stdout, second.stdout);
    // The files are the same ones.
    let write = "echo 10.0.0.1 x >>/etc/hosts";
    house.sh(["--network", "container:first"], write).success()?;
    house.dockster(["exec", "first", "grep", "10.0.0.1 x", "/etc/hosts"]).success()?;
    house.dockster(["rm", "-f", "first"]).success()?;
    house.nothing_left()
}

fn what_cannot_be_joined() -> Result<(), Failed> {
    let house = House::new()?;
    let refused = |options: &[&str], words: &str| {
        let options = options.iter().copied();
        house.run(options).args(["busybox", "true"]).code(125)?.complains(words)?;
        Ok::<(), Failed>(())
    };
    refused(&["--network", "container:no"], "No such container: no")?;
    refused(&["--network", "container:"], "invalid container format container:<name|id>")?;
    let other = ["--network", "container:x"];
    let conflicts = [
        (&["--hostname", "y"][..], "conflicting options: hostname and the network mode"),
        (&["--dns", "1.1.1.1"], "conflicting options: dns and the network mode"),
        (&["--add-host", "a:1.1.1.1"], "custom host-to-IP mapping and the network mode"),
        (&["-p", "80"], "port publishing and the container type network mode"),
        (&["--expose", "80"], "port exposing and the container type network mode"),
    ];
    for (options, words) in conflicts {
        refused(&[&other[..], options].concat(), words)?;
    }
    refused(&["--network", "none", "--network", "host"], "cannot attach both user-defined")?;
    refused(&["--network", "none", "--dns", "x"], "invalid DNS address: x")?;
    house.dockster(["create", "--name", "made", "busybox", "true"]).success()?;
    refused(&["--network", "container:made"], "cannot join network of a non running container")?;
    house.dockster(["rm", "made"]).success()?;
    house.nothing_left()
}

fn names_are_found_by_files() -> Result<(), Failed> {
    let house = House::new()?;
    let options = ["--network", "none", "--hostname", "box", "--add-host", "db:10.0.0.9"];
    let dns = ["--dns", "10.0.0.53", "--dns-search", "a.test", "--dns-option", "ndots:3"];
    let script =
        "cat /etc/hostname /etc/resolv.conf; grep db /etc/hosts; grep -c localhost /etc/hosts";
    let done = house.sh([options, dns].concat(), script).success()?;
    assert_eq!(
        done.stdout,
        "box\nnameserver 10.0.0.53\nsearch a.test\noptions ndots:3\n10.0.0.9\tdb\n2\n"
    );
    house.nothing_left()
}

fn files_are_written_at_each_start() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "echo x >>/etc/hosts; echo '# mine' >>/etc/resolv.conf; tail -n 1 /etc/resolv.conf; grep -c ^x$ /etc/hosts";
    let options = ["--name", "it", "--network", "none", "busybox", "sh", "-c", script];
    house.dockster(["create"]).args(options).success()?;
    for start in 1..=2 {
        let done = house.dockster(["start", "-a", "it"]).success()?;
        assert_eq!(done.stdout, "# mine\n1\n", "start {start}");
    }
    // Who has changed the servers keeps them, as with docker.
    let file = house.dockster(["inspect", "-f", "{{.ResolvConfPath}}", "it"]).success()?.stdout;
    let text = std::fs::read_to_string(file.trim())?;
    assert_eq!(text.matches("# mine").count(), 2, "{text}");
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn mount_points() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["run", "--name", "it", "busybox", "true"]).success()?;
    assert_eq!(house.dockster(["diff", "it"]).success()?.stdout, "");
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}
