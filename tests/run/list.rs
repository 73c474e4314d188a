//! `dockster ps` and `rm`: containers that run, and those that have ended.

use dockster_tests::{Failed, Need, Trial};

use crate::tools::{Background, House, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("ps_shows_what_runs_and_what_has_ended", &[], ps_shows_what_runs),
        beside("rm_removes_what_has_ended", &[], rm_removes_what_has_ended),
        beside("what_a_container_wrote_goes_with_it", &[], what_a_container_wrote),
        beside("an_exit_status_outlives_a_failed_tear_down", &[Need::Limits], an_exit_status),
    ]
}

/// What is known is written down before anything else can go wrong.
fn an_exit_status() -> Result<(), Failed> {
    let house = House::new()?;
    let words = ["run", "--name", "four", "--fail=remove-cgroup", "busybox", "sh", "-c", "exit 4"];
    one_sentence(&house.dockster(words).code(125)?, "remove-cgroup")?;
    house.dockster(["ps", "-a"]).success()?.says("Exited (4)")?;
    house.dockster(["rm", "four"]).success()?;
    house.nothing_left()
}

const SLEEP: [&str; 4] = ["busybox", "sh", "-c", "echo ready; exec sleep 1000"];

fn ps_shows_what_runs() -> Result<(), Failed> {
    let house = House::new()?;
    let none = house.dockster(["ps", "-a"]).success()?.stdout;
    let heading: Vec<_> =
        none.trim_end().split("  ").map(str::trim).filter(|w| !w.is_empty()).collect();
    let wanted = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"];
    assert_eq!(heading, wanted);

    house.dockster(["run", "--name", "ended", "busybox", "sh", "-c", "exit 3"]).code(3)?;
    let run = house.dockster(["run", "--rm", "--name", "running"]).args(SLEEP);
    let mut running = Background::ready(run)?;
    let now = house.dockster(["ps"]).success()?;
    let line = now.stdout.lines().nth(1).unwrap_or_default();
    assert_eq!(now.stdout.lines().count(), 2, "{}", now.stdout);
    for word in ["busybox", "\"sh -c ", "ago", " Up", " running"] {
        assert!(line.contains(word), "{word:?} is missing: {line}");
    }
    let id = line.split(' ').next().unwrap_or_default();
    assert!(id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{line}");
    let all = house.dockster(["ps", "--all"]).success()?;
    let ended =
        all.stdout.lines().find(|line| line.ends_with(" ended")).ok_or("it is not listed")?;
    assert!(ended.contains("Exited (3)"), "{ended}");
    assert_eq!(house.containers()?.len(), 2);

    let done = house.dockster(["rm", "running"]).code(1)?;
    one_sentence(&done, "container is running")?;
    assert!(!running.ended());
    house.dockster(["rm", "-f", "running"]).success()?.says("running\n")?;
    assert_eq!(running.status()?.code(), Some(137));
    house.dockster(["rm", "ended"]).success()?;
    assert!(house.containers()?.is_empty());
    house.nothing_left()
}

fn rm_removes_what_has_ended() -> Result<(), Failed> {
    let house = House::new()?;
    for name in ["one", "two", "three"] {
        house.dockster(["run", "--name", name, "busybox", "true"]).success()?;
    }
    // One that cannot be removed does not keep the others; the beginning of an id is enough.
    let done = house.dockster(["rm", "one", "nosuch", "two"]).code(1)?;
    done.says("one\ntwo\n")?;
    one_sentence(&done, "No such container: nosuch")?;
    let id = house.containers()?.pop().ok_or("none is left")?;
    house.dockster(["rm", &id[..6]]).success()?;
    house.nothing_left()
}

fn what_a_container_wrote() -> Result<(), Failed> {
    let house = House::new()?;
    let script =
        "mkdir -p /a/b && echo x >/a/b/c && chmod 0 /a/b /a && rm /etc/group && mknod /p p";
    house.sh([], script).success()?;
    house.nothing_left()?;
    // The image is as it was.
    house.sh([], "test ! -e /a && test -e /etc/group").success()?;
    house.dockster(["run", "--name", "kept", "busybox", "sh", "-c", script]).success()?;
    house.dockster(["rm", "kept"]).success()?;
    house.nothing_left()
}
