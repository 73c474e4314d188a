//! Watching: `--explain`, `--pause` and `--timings`.

use std::fs;
use std::os::unix::fs::MetadataExt;

use dockster_tests::{Failed, Trial, host};

use crate::tools::{DOCKSTER, House, beside, status_field};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("explain_tells_the_steps_in_order", &[], explain_tells_the_steps_in_order),
        beside("timings_lists_every_step", &[], timings_lists_every_step),
        beside("pause_can_be_followed_from_outside", &[], pause_can_be_followed_from_outside),
        beside("pause_stops_at_every_step", &[], pause_stops_at_every_step),
        beside("pauses_of_hello_mark_what_has_changed", &[], pauses_of_hello),
    ]
}

/// The names of all steps that were told: ` 7  pivot_root      book: 02-chroot#pivot_root`.
fn told(text: &str) -> Vec<&str> {
    let pages = text.lines().filter_map(|line| line.split_once(" book: "));
    pages.filter_map(|(_, page)| page.split_once('#')).map(|(_, name)| name.trim()).collect()
}

/// In this order, others between them.
const ORDER: [&str; 12] = [
    "record",
    "clone3",
    "private",
    "hostname",
    "rootfs",
    "mount",
    "devices",
    "mask",
    "pivot_root",
    "credentials",
    "execve",
    "forget",
];

fn explain_tells_the_steps_in_order() -> Result<(), Failed> {
    let house = House::empty();
    let done = house.run(["--explain", "hello"]).success()?;
    done.says("Hello from inside!")?;
    let steps = told(&done.stderr);
    // An ordinary user's own way in comes first.
    let own =
        steps.iter().position(|step| *step == "record").ok_or_else(|| done.failed("no record"))?;
    if !host().root {
        assert!(steps[..own].contains(&"id-map"), "{steps:?}");
    }
    let mut rest = steps[own..].iter();
    for wanted in ORDER {
        if !rest.any(|step| *step == wanted) {
            return Err(done.failed(&format!("{wanted} is missing, or in the wrong place")));
        }
    }
    if host().limits.is_ok() {
        assert!(steps.contains(&"cgroup") && steps.contains(&"remove-cgroup"), "{steps:?}");
    }
    // Each with its call, and in a width that the book can show.
    let calls = done.stderr.lines().filter(|line| line.starts_with("    > ")).count();
    assert!(calls >= steps.len(), "{calls} lines of calls for {} steps", steps.len());
    for words in ["CLONE_NEWPID", "pivot_root(", "execve(", "sethostname(", "fsopen(\"proc\")"] {
        done.complains(words)?;
    }
    if let Some(line) = done.stderr.lines().find(|line| line.chars().count() > 78) {
        return Err(done.failed(&format!("wider than 78 columns: {line}")));
    }
    // Whoever does not ask is told nothing.
    assert_eq!(house.run(["hello"]).success()?.stderr, "");
    house.nothing_left()
}

fn timings_lists_every_step() -> Result<(), Failed> {
    let house = House::new()?;
    let done = house.run(["--timings", "--explain", "busybox", "true"]).success()?;
    let steps = told(&done.stderr);
    let first = steps.iter().position(|step| *step == "record").ok_or("no record")?;
    let (_, table) =
        done.stderr.split_once("      ms  step\n").ok_or_else(|| done.failed("no table"))?;
    let mut sum = 0.0;
    let mut names = Vec::new();
    for line in table.lines() {
        let (time, name) = line.trim().split_once("  ").ok_or("no two columns")?;
        names.push(name);
        if name == "all of them" {
            let total: f64 = time.parse()?;
            assert!((total - sum).abs() < 0.1, "{total} is not the sum, {sum}");
        }
        sum += time.parse::<f64>()?;
    }
    assert_eq!(names.pop(), Some("all of them"));
    assert_eq!(names, steps[first..]);
    Ok(())
}

fn pause_can_be_followed_from_outside() -> Result<(), Failed> {
    let house = House::new()?;
    let mut terminal = house.terminal(["--pause=pivot_root", "busybox", "echo", "went on"])?;
    terminal.wait_for("Enter goes on")?;
    let screen = terminal.screen();
    let look = screen.lines().find_map(|line| line.trim().strip_prefix("$ ")).unwrap_or_default();
    let pid: i32 = look
        .split(|c: char| !c.is_ascii_digit())
        .find_map(|digits| digits.parse().ok())
        .ok_or_else(|| terminal.failed("no pid to look at"))?;
    assert!(look.contains(&format!("/proc/{pid}/")), "{look}");
    // The child stands still between two roots: number 1 already, and prepared.
    let numbers = status_field(pid, "NSpid").unwrap_or_default();
    assert!(numbers.ends_with("\t1"), "NSpid: {numbers}");
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    assert!(mounts.lines().count() > 8, "{mounts}");
    assert_ne!(fs::read_link(format!("/proc/{pid}/ns/mnt"))?, fs::read_link("/proc/self/ns/mnt")?);
    // Our program still; without a name, for it runs from where nobody can write to it.
    let exe = fs::metadata(format!("/proc/{pid}/exe"))?;
    assert_eq!(
        (exe.ino(), exe.len()),
        (fs::metadata(DOCKSTER)?.ino(), fs::metadata(DOCKSTER)?.len())
    );
    assert!(!terminal.screen().contains("went on"));
    terminal.type_keys("\r")?;
    terminal.wait_for("went on")?;
    assert_eq!(terminal.finish()?.code(), Some(0));
    house.nothing_left()
}

fn pause_stops_at_every_step() -> Result<(), Failed> {
    let house = House::new()?;
    let done = house.run(["--explain", "busybox", "true"]).success()?;
    let steps = told(&done.stderr);
    let mut terminal = house.terminal(["--pause", "busybox", "true"])?;
    for (number, step) in steps.iter().enumerate() {
        terminal.wait_for_times("Enter goes on", number + 1)?;
        let transcript = terminal.transcript();
        let last = transcript.rsplit("Paused before `").next().unwrap_or_default();
        assert!(last.starts_with(&format!("{step}`")), "expected {step}: {last}");
        terminal.type_keys("\r")?;
    }
    assert_eq!(terminal.finish()?.code(), Some(0));
    house.nothing_left()
}

fn pauses_of_hello() -> Result<(), Failed> {
    let house = House::empty();
    house.run(["hello"]).success()?;
    let mut terminal = house.terminal(["--pause=hostname", "hello"])?;
    terminal.wait_for("Enter goes on")?;
    terminal.type_keys("\r")?;
    let status = terminal.finish()?;
    assert_eq!(status.code(), Some(0));
    let transcript = terminal.transcript();
    // Drawn at the pause, with its eyes shut; then as it poses, with what has changed since.
    for words in ["(-)", "(o)", "* changed since the last pause", "Hello from inside!"] {
        assert!(transcript.contains(words), "{words:?} is missing");
    }
    let marked = transcript.lines().filter(|line| line.contains('*') && line.contains('┃')).count();
    assert!(marked >= 2, "{marked} rows are marked");
    house.nothing_left()
}
