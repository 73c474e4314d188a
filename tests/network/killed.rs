//! The program, and what is left when it fails or is killed: only what the next one removes.

#[path = "../clone/held.rs"]
mod held;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use dockster_tests::{
    Done, Failed, Need, Run, TempDir, Terminal, Trial, busybox_rootfs, find_program, trial,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::hosts::{Netns, Part, ip, links};
use crate::killed::held::{Held, STAY, steps_of};

pub const PARTS: &[Part] = &[
    ("program_on_the_default_network", on_the_default_network),
    ("program_without_a_wire", without_a_wire),
    ("program_publishes_ports", publishes_ports),
    ("program_steps_are_told", steps_are_told),
    ("program_failing_at_each_step", failing_at_each_step),
    ("program_killed_at_each_step", killed_at_each_step),
    ("program_killed_while_it_runs", killed_while_it_runs),
    ("program_ended_by_ctrl_c", ended_by_ctrl_c),
];

pub fn trials() -> Vec<Trial> {
    vec![trial("program_of_an_ordinary_user", &[Need::User, Need::UserNamespaces], of_a_user)]
}

/// A root file system, and where the program keeps what it writes down.
struct House {
    root: TempDir,
    state: TempDir,
}

impl House {
    fn new() -> Result<House, Failed> {
        let house = House { root: TempDir::new(), state: TempDir::new() };
        busybox_rootfs(house.root.path())?;
        Ok(house)
    }

    fn run(&self, options: &[&str], script: &str) -> Run {
        Run::new(env!("CARGO_BIN_EXE_04-network"))
            .env("XDG_RUNTIME_DIR", self.state.path())
            // The kernel's lock on all links is one for all namespaces of the machine.
            .limit(Duration::from_secs(120))
            .args(options)
            .arg(self.root.path())
            .args(["--", "sh", "-c", script])
    }

    fn state(&self) -> PathBuf {
        self.state.path().join("dockster-04")
    }

    /// Nothing is left: no link, no rule, nothing written down, and the host is no router.
    fn nothing_left(&self, after: &str) -> Result<(), Failed> {
        let nft = find_program("nft").ok_or("no program nft")?;
        let tables = Run::new(nft).args(["list", "tables"]).success()?.stdout;
        let forwarding = fs::read_to_string("/proc/sys/net/ipv4/ip_forward")?;
        let (links, state) = (links()?, self.state());
        match links.is_empty() && !state.exists() && tables.is_empty() && forwarding == "0\n" {
            true => Ok(()),
            false => Err(format!(
                "{after}: left are {links:?}, {tables:?}, {state:?}, or it forwards: {forwarding}"
            )
            .into()),
        }
    }

    /// The next command works, and removes what is left.
    fn works_again(&self, after: &str) -> Result<(), Failed> {
        let done = self.run(&[], "cat /sys/class/net/eth0/address").success()?;
        assert_eq!(done.stdout, "02:42:ac:11:00:02\n", "{after}: not the first address");
        self.nothing_left(after)
    }

    /// All steps, and how often each is taken.
    fn steps(&self) -> Result<Vec<(String, usize)>, Failed> {
        let done = self.run(&["--timings"], "true").success()?;
        let mut steps: Vec<(String, usize)> = Vec::new();
        for step in steps_of(&done.stderr) {
            match steps.iter_mut().find(|(name, _)| *name == step) {
                Some((_, count)) => *count += 1,
                None => steps.push((step, 1)),
            }
        }
        let known = ["lease", "bridge", "veth", "address", "route", "forwarding", "nat", "detach"];
        for known in known {
            assert!(steps.iter().any(|(step, _)| step == known), "{known} is not among {steps:?}");
        }
        Ok(steps)
    }
}

/// What a container sees of its wire, without any program for it.
const LOOK: &str = "cat /sys/class/net/eth0/operstate; cat /proc/net/route | cut -f 1-3";

fn as_expected(done: &Done) {
    // The kernel writes 172.17.0.1 backwards.
    let route = "eth0\t00000000\t010011AC";
    assert!(done.stdout.starts_with("up\n") && done.stdout.contains(route), "{done:?}");
}

fn on_the_default_network() -> Result<(), Failed> {
    let house = House::new()?;
    let done = house.run(&[], LOOK).success()?;
    as_expected(&done);
    assert_eq!(done.stderr, "");
    house.run(&[], "exit 7").code(7)?;
    house.nothing_left("two runs")
}

fn without_a_wire() -> Result<(), Failed> {
    let house = House::new()?;
    let done = house.run(&["--network", "none"], "ls /sys/class/net; cat /sys/class/net/lo/flags");
    assert_eq!(done.success()?.stdout, "lo\n0x9\n");
    // With the host's network there is nothing to wire, so all of it is seen.
    ip("link add seen type bridge")?;
    let done = house.run(&["--no-net", "--no-user"], "ls -d /sys/class/net/seen").success()?;
    assert_eq!(done.stdout, "/sys/class/net/seen\n");
    ip("link del seen")?;
    house.run(&["--network", "none", "--no-net"], "true").code(125)?;
    house.nothing_left("none")
}

fn publishes_ports() -> Result<(), Failed> {
    let house = House::new()?;
    let held = Held::start(house.run(&["-p", "8080:80"], STAY).into_command())?;
    let netns = Netns(fs::File::open(format!("/proc/{}/ns/net", held.inside))?);
    let server = netns.inside(|| TcpListener::bind("0.0.0.0:80"))?;
    let mut stream = TcpStream::connect("127.0.0.1:8080")?;
    server.accept()?.0.write_all(b"hello")?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    assert_eq!(said, "hello");
    // One door has one owner, and one that is left open is chosen and said.
    let done = house.run(&["-p", "8080:81"], "true").code(125)?;
    done.complains("Bind for 0.0.0.0:8080 failed: port is already allocated")?;
    let done = house.run(&["-p", "80"], "true").success()?;
    done.complains("04-network: port ")?.complains(" of the host leads to 80")?;
    for (options, words) in [
        (&["-p", "x"][..], "invalid containerPort: x"),
        (&["-p", "80", "--network", "none"], "--publish: without a wire nobody gets in"),
        (&["-p", "[::1]:8080:80"], "--publish: ::1 needs a program that passes on"),
        (&["-p", "80", "--no-net"], "cannot be used with"),
    ] {
        house.run(options, "true").code(125)?.complains(words)?;
    }
    drop((stream, server, netns, held));
    house.works_again("published")
}

fn of_a_user() -> Result<(), Failed> {
    let house = House::new()?;
    let done = house.run(&[], LOOK).success()?;
    as_expected(&done);
    done.complains("the host's side is one of your own, with no way outside")?;
    house.run(&[], "exit 7").code(7)?;
    let done = house.run(&[], "true").env("XDG_RUNTIME_DIR", "").code(125)?;
    done.complains("XDG_RUNTIME_DIR is not set")?;
    // One that is killed leaves a directory, which the next removes.
    let mut held = Held::start(house.run(&[], STAY).into_command())?;
    held.kill();
    held.inside_is_gone()?;
    house.run(&[], "true").success()?;
    assert!(!house.state().exists());
    Ok(())
}

fn steps_are_told() -> Result<(), Failed> {
    let house = House::new()?;
    let done = house.run(&["--explain"], "true").success()?;
    assert_eq!(done.stdout, "");
    for (step, _) in house.steps()? {
        let told = done.stderr.lines().any(|line| line.contains(&format!("  {step} ")));
        assert!(told, "{step} is not told in {}", done.stderr);
    }
    for line in done.stderr.lines() {
        assert!(line.chars().count() <= 78, "{line}");
    }
    Ok(())
}

fn failing_at_each_step() -> Result<(), Failed> {
    let house = House::new()?;
    for (step, _) in house.steps()? {
        let done = house.run(&[&format!("--fail={step}")], "true").done()?;
        let code = done.status.code();
        assert!(matches!(code, Some(125 | 126)), "{step}: {done:?}");
        done.complains(&format!("04-network: {step}: "))?.complains("EIO")?;
        // What could not be removed is still written down, and goes with the next.
        if !["detach", "remove-cgroup"].contains(&&*step) {
            house.nothing_left(&step)?;
        }
        house.works_again(&step)?;
    }
    Ok(())
}

fn killed_at_each_step() -> Result<(), Failed> {
    let house = House::new()?;
    for (step, count) in house.steps()? {
        // Steps of this chapter each time that they are taken; of others, the first time.
        let last = if step == "mount" { 1 } else { count };
        for time in 1..=last {
            killed_at(&house, &step, time)?;
            house.works_again(&format!("killed at {step}, time {time}"))?;
        }
    }
    Ok(())
}

fn killed_at(house: &House, step: &str, time: usize) -> Result<(), Failed> {
    let run = house.run(&[&format!("--pause={step}")], "true");
    let mut terminal = Terminal::spawn(run.into_command(), 50, 100)?;
    for number in 1..=time {
        terminal.wait_for_times("Enter goes on", number)?;
        if number < time {
            terminal.type_keys("\r")?;
        }
    }
    kill(Pid::from_raw(terminal.pid() as i32), Signal::SIGKILL)?;
    terminal.finish().map(drop)
}

fn killed_while_it_runs() -> Result<(), Failed> {
    let house = House::new()?;
    let mut held = Held::start(house.run(&[], STAY).into_command())?;
    let beside = Held::start(house.run(&[], STAY).into_command())?;
    held.kill();
    held.inside_is_gone()?;
    // Who lives beside keeps its wire; the address of the dead one is the next one's.
    house.run(&[], "cat /sys/class/net/eth0/address").success()?;
    let bridge = ip("link show master dk040000000")?;
    assert_eq!(bridge.as_array().map(Vec::len), Some(1), "{bridge}");
    drop(beside);
    house.works_again("killed while it runs")
}

fn ended_by_ctrl_c() -> Result<(), Failed> {
    let house = House::new()?;
    let run = house.run(&[], "trap 'exit 5' INT; echo ready; while true; do sleep 0.1; done");
    let mut terminal = Terminal::spawn(run.into_command(), 50, 100)?;
    terminal.wait_for("ready")?;
    terminal.type_keys("\x03")?;
    let status = terminal.finish()?;
    assert!(matches!(status.code(), Some(5 | 130)), "{status}");
    house.nothing_left("Ctrl-C")
}
