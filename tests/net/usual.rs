//! The network of a container for which nobody asked for any.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use dockster_tests::{Failed, Need, Run, Trial};

use crate::tools::{Background, DOCKSTER, House, alone, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("unasked_it_is_the_bridge", &[], unasked_it_is_the_bridge),
        alone("eight_first_commands_meet", &[], eight_first_commands_meet),
        beside("that_nothing_leads_out_is_said_once", &[Need::User], said_once),
        beside("a_resolver_of_the_host_alone_is_not_asked", &[Need::Root], resolved),
        beside("where_there_can_be_none_it_goes_without", &[Need::Root], goes_without),
    ]
}

fn unasked_it_is_the_bridge() -> Result<(), Failed> {
    let house = House::new()?;
    let one = ["run", "-d", "--name", "one", "busybox", "sleep", "1000"];
    house.dockster(one).success()?;
    let look = "{{.HostConfig.NetworkMode}} {{.NetworkSettings.IPAddress}}";
    let seen = house.dockster(["inspect", "--format", look, "one"]).success()?.stdout;
    let (mode, address) = seen.trim().split_once(' ').unwrap_or_default();
    assert_eq!((mode, address.starts_with("172.")), ("bridge", true), "{seen}");
    let script = format!("ls /sys/class/net; ping -c 1 -w 10 {address}");
    let done = house.sh([], &script).success()?;
    done.says("eth0\nlo\n")?.says("1 packets received")?;
    house.dockster(["rm", "-f", "one"]).success()?;
    house.nothing_left()
}

/// Of an ordinary user's each could make a user namespace, and a network, of its own.
fn eight_first_commands_meet() -> Result<(), Failed> {
    let house = House::new()?;
    let names: Vec<_> = (0..8).map(|number| format!("c{number}")).collect();
    let start = |name: &String| {
        let words = ["run", "-d", "--name", name, "busybox", "sleep", "1000"];
        Background::start(house.dockster(words))
    };
    let mut started: Vec<_> = names.iter().map(start).collect::<Result<_, _>>()?;
    for run in &mut started {
        let status = run.status()?;
        assert!(status.success(), "{}", run.stderr());
    }
    let look = ["inspect", "--format", "{{.NetworkSettings.IPAddress}}"];
    let seen = house.dockster(look).args(&names).success()?.stdout;
    let mut addresses: Vec<_> = seen.lines().collect();
    let script =
        format!("for to in {}; do ping -c 1 -w 10 $to || exit 1; done", addresses.join(" "));
    house.dockster(["exec", "c7", "sh", "-c", &script]).success()?;
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), 8, "{seen}");
    house.dockster(["rm", "-f"]).args(&names).success()?;
    house.nothing_left()
}

const NOBODY: &str = "containers reach each other, but not the outside";

/// A directory of programs among which none leads out.
fn without_pasta(house: &House) -> Result<PathBuf, Failed> {
    let dir = house.join("bin");
    std::fs::create_dir(&dir)?;
    for program in ["newuidmap", "newgidmap"] {
        symlink(format!("/usr/bin/{program}"), dir.join(program))?;
    }
    Ok(dir)
}

fn said_once() -> Result<(), Failed> {
    let house = House::new()?;
    let dir = without_pasta(&house)?;
    let run = |options: &[&str]| {
        let run = Run::new(DOCKSTER).args(["run", "--rm"]).args(options).args(["busybox", "true"]);
        let run = run.env("DOCKSTER_ROOT", house.root()).env("PATH", &dir);
        Ok::<_, Failed>(run.success()?.stderr)
    };
    let first = run(&[])?;
    assert!(first.contains(NOBODY) && first.contains("slirp4netns"), "{first}");
    assert_eq!(run(&[])?, "");
    // Who asks for a network is told.
    assert!(run(&["--network", "bridge"])?.contains(NOBODY));
    assert_eq!(run(&[])?, "");
    let explained = house.dockster(["network", "explain", "bridge"]).env("PATH", &dir).success()?;
    explained.says("from here nobody outside is reached: ")?;
    house.nothing_left()
}

/// systemd-resolved listens on the host's loopback; whom it asks is in a file of its own.
fn resolved() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "mount -t tmpfs none /run && mkdir -p /run/systemd/resolve && \
                  echo nameserver 127.0.0.53 >/run/stub && \
                  echo nameserver 192.0.2.53 >/run/systemd/resolve/resolv.conf && \
                  mount --bind /run/stub /etc/resolv.conf && \
                  exec \"$0\" run --rm busybox cat /etc/resolv.conf";
    let run = Run::new("unshare").args(["-m", "sh", "-c", script, DOCKSTER]);
    let done = run.env("DOCKSTER_ROOT", house.root()).success()?;
    assert_eq!(done.stdout, "nameserver 192.0.2.53\n");
    house.nothing_left()
}

/// Settings that cannot be written, as in somebody else's container.
fn goes_without() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && \
                  exec \"$0\" run --rm \"$@\" busybox ls /sys/class/net";
    let run = |options: &[&str]| {
        let run = Run::new("unshare").args(["-m", "sh", "-c", script, DOCKSTER]).args(options);
        run.env("DOCKSTER_ROOT", house.root())
    };
    let done = run(&[]).success()?;
    assert_eq!(done.stdout, "lo\n");
    done.complains("it has no network here: ")?.complains("EROFS")?;
    // Who asks for one does not get another.
    run(&["--network", "bridge"]).code(125)?.complains("EROFS")?;
    house.nothing_left()
}
