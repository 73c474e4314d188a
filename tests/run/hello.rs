//! The built-in image, and the portrait that is drawn of it.

use std::collections::BTreeMap;
use std::fs;

use dockster_tests::{Failed, Need, Trial, host};

use crate::tools::{House, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("hello_is_drawn_and_greets", &[], hello_is_drawn_and_greets),
        beside(
            "the_portrait_tells_what_is_seen_inside",
            &[],
            the_portrait_tells_what_is_seen_inside,
        ),
        beside("the_portrait_tells_limits", &[Need::Limits], the_portrait_tells_limits),
    ]
}

/// All rows, in their order.
const ROWS: [&str; 22] = [
    "pid",
    "uid",
    "gid",
    "capabilities",
    "hostname",
    "/",
    "mounts",
    "namespaces",
    "user",
    "mount",
    "pid",
    "uts",
    "ipc",
    "net",
    "cgroup",
    "time",
    "limits",
    "memory",
    "cpu",
    "pids",
    "cgroup",
    "network",
];

fn hello_is_drawn_and_greets() -> Result<(), Failed> {
    let house = House::empty();
    let done = house.run(["hello"]).success()?;
    done.says("Hello from inside! In here I am process 1 and root.")?;
    if !done.stderr.is_empty() {
        return Err(done.failed("it complains"));
    }
    if let Some(line) = done.stdout.lines().find(|line| line.chars().count() > 78) {
        return Err(done.failed(&format!("wider than 78 columns: {line}")));
    }
    if done.stdout.contains('\x1b') {
        return Err(done.failed("colours, and no terminal"));
    }
    // "│   NAME ...": what continues the row above has no name.
    let names: Vec<_> = done
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("│ ")?.chars().nth(2).map(|_| line))
        .filter_map(|line| {
            line.chars()
                .skip(1)
                .take(15)
                .collect::<String>()
                .split_whitespace()
                .next()
                .map(str::to_owned)
        })
        .collect();
    if !names.starts_with(&ROWS.map(str::to_owned)) {
        return Err(done.failed(&format!("other rows: {names:?}")));
    }
    if names[ROWS.len()..] != ["links", "addresses"] {
        return Err(done.failed(&format!("other rows at the end: {names:?}")));
    }

    // It is made once.
    let again = house.run(["hello"]).success()?;
    again.says("Hello from inside!")?;
    let images = house.dockster(["images", "-q"]).success()?;
    assert_eq!(images.stdout.lines().count(), 1, "{}", images.stdout);
    house.nothing_left()
}

/// Both sides of each row of `--plain`: "NAME: INSIDE inside, HOST on the host".
fn rows(text: &str) -> BTreeMap<&str, (&str, &str)> {
    text.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<(&str, (&str, &str))> {
    let (name, sides) = line.split_once(": ")?;
    let (inside, host) = sides.split_once(" inside, ").or_else(|| sides.split_once(" inside; "))?;
    Some((name, (inside, host.strip_suffix(" on the host")?)))
}

fn first(text: &str) -> &str {
    text.split([' ', ',']).next().unwrap_or("")
}

fn the_portrait_tells_what_is_seen_inside() -> Result<(), Failed> {
    let house = House::empty();
    let done = house
        .run([
            "--plain",
            "--hostname",
            "sitter",
            "-w",
            "/tmp",
            "--network",
            "none",
            "hello",
            "facts",
        ])
        .success()?;
    let rows = rows(&done.stdout);
    let facts: BTreeMap<_, _> =
        done.stdout.lines().filter_map(|line| line.split_once(' ')).collect();
    let same = |row: &str, fact: &str| -> Result<(), Failed> {
        let drawn = rows.get(row).map(|(inside, _)| first(inside));
        match drawn.is_some() && drawn == facts.get(fact).copied() {
            true => Ok(()),
            false => Err(done.failed(&format!("{row} is drawn as {drawn:?}"))),
        }
    };
    same("pid", "pid")?;
    same("uid", "uid")?;
    same("gid", "gid")?;
    same("hostname", "hostname")?;
    same("mounts", "mounts")?;
    assert_eq!(facts["pid"], "1");
    assert_eq!(facts["hostname"], "sitter");
    assert_eq!(facts["cwd"], "/tmp");
    assert_eq!(facts["descriptors"], "3");
    assert_eq!(facts["links"], "1");
    assert_eq!(rows["links"].0, "lo");

    let bits = u64::from_str_radix(facts["capeff"], 16)?.count_ones().to_string();
    let drawn = rows["capabilities"].0.split(|c: char| !c.is_ascii_digit()).find(|s| !s.is_empty());
    assert_eq!(drawn, Some(bits.as_str()), "{}", rows["capabilities"].0);

    // The other side: who we are out here.
    let uid = nix::unistd::geteuid().to_string();
    assert_eq!(first(rows["uid"].1), uid);
    assert!(rows["pid"].1.parse::<i32>()? > 1);
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname")?;
    assert_eq!(rows["hostname"].1, hostname.trim());
    assert!(rows["/"].1.starts_with(house.root().to_str().ok_or("a path")?), "{}", rows["/"].1);
    for kind in ["mount", "pid", "uts", "ipc", "net", "cgroup", "user"] {
        let file = if kind == "mount" { "mnt" } else { kind };
        let own = fs::read_link(format!("/proc/self/ns/{file}"))?.display().to_string();
        let (inside, host_side) = rows[format!("{kind} namespace").as_str()];
        assert!(own.contains(&format!("[{host_side}]")), "{kind}: {own}, {host_side}");
        let new = kind != "user" || !host().root;
        assert_eq!(inside.ends_with(" (new)"), new, "{kind}: {inside}");
        assert_eq!(first(inside) != host_side, new, "{kind}: {inside}, {host_side}");
    }
    Ok(())
}

fn the_portrait_tells_limits() -> Result<(), Failed> {
    let house = House::empty();
    let limits = ["-m", "64m", "--pids-limit", "20", "--cpus", "0.5", "--plain", "hello"];
    let done = house.run(limits).success()?;
    done.says("memory limit: 64 MiB inside")?;
    done.says("pids limit: 20 inside")?;
    done.says("cpu limit: 0.5 processors inside")?;
    house.nothing_left()
}
