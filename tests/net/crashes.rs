//! Killed, or failing, at any step of a wire: the next command puts all back, and what
//! others have on the same host was never touched.

use dockster_tests::{Failed, Need, Terminal, Trial, host};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::street::{Street, start};
use crate::tools::{beside, descendants, one_sentence, steps_in};

/// Those of a wire; chapters 1 to 3 have their own.
const STEPS: [&str; 8] =
    ["lease", "bridge", "veth", "address", "route", "nat", "forwarding", "detach"];

/// Only root has a host whose links and rules can be looked at.
const LOOKING: [Need; 3] = [Need::Root, Need::Program("ip"), Need::Program("nft")];

pub fn trials() -> Vec<Trial> {
    let needs = if host().root { &LOOKING[..] } else { &[] };
    vec![
        beside("all_killed_at_any_step_of_a_wire", needs, all_killed),
        beside("one_killed_at_any_step_of_a_wire", needs, one_killed),
        beside("killed_at_any_step_beside_a_neighbour", needs, beside_a_neighbour),
        beside("a_failure_at_any_step_of_a_wire", needs, a_failure),
        beside("a_guard_stands_before_anything_is_forwarded", &LOOKING, a_guard),
        beside("a_table_that_is_refused_leaves_nothing", &LOOKING, a_refused_table),
        beside("a_link_that_is_not_ours_leaves_nothing", &LOOKING, a_foreign_link),
    ]
}

/// The words of a container on a network with both IPs, of which a port is published. For an
/// ordinary user that would be the real host's port, which others take at the same moment.
fn wired() -> &'static [&'static str] {
    let all = &["--network", "web", "-p", "127.0.0.1::80"];
    if host().root { all } else { &all[..2] }
}

/// Such a container, watched at its steps.
fn watched(street: &Street, watch: &str) -> Result<Terminal, Failed> {
    street.house.terminal(wired().iter().copied().chain([watch, "busybox", "true"]))
}

/// The steps of its wire, found out by looking: name, and how often each is taken.
fn steps(street: &Street) -> Result<Vec<(String, usize)>, Failed> {
    let done = street
        .house
        .run(wired().iter().copied())
        .args(["--explain", "busybox", "true"])
        .success()?;
    let mut steps = steps_in(&done.stderr);
    steps.retain(|(name, _)| STEPS.contains(&name.as_str()));
    // Who is not the first on the network finds its bridge.
    for known in STEPS.iter().filter(|known| **known != "bridge") {
        assert!(steps.iter().any(|(name, _)| name == known), "{known} is not among {steps:?}");
    }
    Ok(steps)
}

/// Brings a container to each of the steps, does something there, and then all is as before.
fn at_each_step(
    street: &Street,
    stop: impl Fn(&mut Terminal) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let before = street.look()?;
    for (step, count) in steps(street)? {
        for time in 1..=count {
            let mut terminal = watched(street, &format!("--pause={step}"))?;
            for number in 1..=time {
                terminal.wait_for_times("Enter goes on", number)?;
                if number < time {
                    terminal.type_keys("\r")?;
                }
            }
            stop(&mut terminal)?;
            terminal.finish()?;
            street.put_back(&before, &format!("stopped at {step}, time {time}"))?;
        }
    }
    // And the next one finds everything as the first did.
    street.house.run(wired().iter().copied()).args(["busybox", "true"]).success()?;
    street.put_back(&before, "one more")
}

/// The command, and whoever works for it.
fn kill_all(terminal: &mut Terminal) -> Result<(), Failed> {
    let pid = terminal.pid() as i32;
    for pid in [vec![pid], descendants(pid)].concat() {
        // One may go with another.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    Ok(())
}

/// Who was started last: for an ordinary user the one who works in their network namespace; for
/// root, as long as it lives, the container's own first process.
fn kill_the_youngest(terminal: &mut Terminal) -> Result<(), Failed> {
    let pid = terminal.pid() as i32;
    let youngest = descendants(pid).into_iter().max_by_key(|pid| started(*pid)).unwrap_or(pid);
    kill(Pid::from_raw(youngest), Signal::SIGKILL)?;
    // The others are not told to wait any longer, and may have ended.
    let _ = terminal.type_keys("\r".repeat(20));
    Ok(())
}

/// When a process was started, in ticks since the boot (proc_pid_stat(5), field 22).
fn started(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    rest.split(' ').nth(19).and_then(|ticks| ticks.parse().ok()).unwrap_or_default()
}

fn all_killed() -> Result<(), Failed> {
    Street::of_its_own(|street| at_each_step(street, kill_all))
}

fn one_killed() -> Result<(), Failed> {
    Street::of_its_own(|street| at_each_step(street, kill_the_youngest))
}

fn beside_a_neighbour() -> Result<(), Failed> {
    Street::of_its_own(|street| {
        start(&street.house, wired(), "neighbour")?;
        at_each_step(street, kill_all)?;
        street.house.sh(["--network", "web"], "ping -c 1 -w 10 neighbour").success()?;
        street.house.dockster(["rm", "-f", "neighbour"]).success().map(drop)
    })
}

fn a_failure() -> Result<(), Failed> {
    Street::of_its_own(|street| {
        let before = street.look()?;
        for (step, _) in steps(street)? {
            let fail = format!("--fail={step}");
            let done = street
                .house
                .run(wired().iter().copied())
                .args([&*fail, "busybox", "true"])
                .done()?;
            assert_eq!(done.status.code(), Some(125), "{step}: {}", done.stderr);
            // An ordinary user may be told before that no way leads outside here.
            done.complains(&format!("dockster: {step}: "))?.complains("EIO")?;
            street.put_back(&before, &fail)?;
        }
        Ok(())
    })
}

/// Somebody lives on a network with no way out, so that the table stands and nothing is
/// forwarded. Then somebody else needs a router.
fn a_guard() -> Result<(), Failed> {
    Street::of_its_own(|street| {
        street.house.dockster(["network", "create", "--internal", "inner"]).success()?;
        for (step, count) in steps(street)? {
            for time in 1..=count {
                start(&street.house, &["--network", "inner"], "quiet")?;
                assert!(!street.forwards()? && !street.guarded()?);
                let mut terminal = watched(street, &format!("--pause={step}"))?;
                for number in 1..=time {
                    terminal.wait_for_times("Enter goes on", number)?;
                    street.guarded_if_it_forwards(&step)?;
                    if number < time {
                        terminal.type_keys("\r")?;
                    }
                }
                kill_all(&mut terminal)?;
                terminal.finish()?;
                street.guarded_if_it_forwards(&step)?;
                street.house.dockster(["network", "ls"]).success()?;
                street.guarded_if_it_forwards(&step)?;
                start(&street.house, wired(), "next")?;
                assert!(street.forwards()? && street.guarded()?, "after a kill at {step}");
                street.house.dockster(["rm", "-f", "next", "quiet"]).success()?;
                assert!(!street.forwards()?, "after a kill at {step}");
            }
        }
        Ok(())
    })
}

/// A table with an owner is closed to all others (nft(8), `flags owner`).
fn a_refused_table() -> Result<(), Failed> {
    Street::of_its_own(|street| {
        let before = street.look()?;
        let owner = street.own_our_table()?;
        let done = street.house.run(wired().iter().copied()).args(["busybox", "true"]).code(125)?;
        one_sentence(&done, "dockster: nat: nftables: ")?;
        done.complains("EPERM")?;
        drop(owner);
        street.put_back(&before, "the table had an owner")?;
        street.house.run(wired().iter().copied()).args(["busybox", "true"]).success()?;
        street.put_back(&before, "one more")
    })
}

fn a_foreign_link() -> Result<(), Failed> {
    Street::of_its_own(|street| {
        let id = street.house.dockster(["network", "inspect", "-f", "{{.Id}}", "web"]).success()?;
        let bridge = format!("dk-{}", &id.stdout[..12]);
        street.ip(&format!("link add {bridge} type bridge"))?;
        let before = street.look()?;
        let done = street.house.run(wired().iter().copied()).args(["busybox", "true"]).code(125)?;
        one_sentence(&done, &format!("the link {bridge} is there already, and is not ours"))?;
        street.put_back(&before, "its link is another's")?;
        street.ip(&format!("link del {bridge}"))?;
        // A range that somebody else's link has is refused when a network is made.
        let create = ["network", "create", "--subnet", "10.20.8.0/24", "other"];
        let done = street.house.dockster(create).code(1)?;
        done.complains("Pool overlaps")?.complains("10.20.0.0/16 (a route of the host)")?;
        street.house.run(wired().iter().copied()).args(["busybox", "true"]).success().map(drop)
    })
}
