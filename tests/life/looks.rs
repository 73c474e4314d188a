//! Looks at containers, and files that go in and out.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use dockster_tests::{Failed, Need, Trial, wait_until};

use crate::background::{POLITE, wait_for_log};
use crate::tools::{Background, House, PATIENCE, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("top_shows_its_processes_only", &[], top),
        beside("stats_count_what_it_uses", &[Need::Limits], stats),
        beside("events_tell_a_life", &[], events),
        beside("diff_shows_what_was_written", &[], diff),
        beside("prune_removes_what_does_not_run", &[], prune),
        beside("files_go_in_and_out", &[], files_go_in_and_out),
        beside("a_link_in_the_container_leads_nowhere_else", &[], a_link_leads_nowhere),
    ]
}

fn start(house: &House, script: &str) -> Result<(), Failed> {
    house.dockster(["run", "-d", "--name", "it", "busybox", "sh", "-c", script]).success().map(drop)
}

fn top() -> Result<(), Failed> {
    let house = House::new()?;
    start(&house, "sleep 1234 & echo ready; exec sleep 4321")?;
    wait_for_log(&house, "it", "ready")?;
    let seen = || {
        house.dockster(["top", "it"]).success().is_ok_and(|done| {
            let lines: Vec<_> = done.stdout.lines().collect();
            lines.len() == 3
                && lines[0]
                    .split_whitespace()
                    .eq(["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"])
                && ["sleep 1234", "sleep 4321"].iter().all(|cmd| done.stdout.contains(cmd))
        })
    };
    wait_until("top shows both", PATIENCE, seen)?;
    let done = house.dockster(["top", "it", "-o", "pid,comm"]).success()?;
    assert!(done.stdout.starts_with("PID") && done.stdout.lines().count() == 3, "{}", done.stdout);
    house.dockster(["kill", "it"]).success()?;
    one_sentence(&house.dockster(["top", "it"]).code(1)?, "is not running")?;
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn stats() -> Result<(), Failed> {
    let house = House::new()?;
    let words =
        ["run", "-d", "--name", "it", "-m", "64m", "busybox", "sh", "-c", "while :; do :; done"];
    house.dockster(words).success()?;
    let done = house.dockster(["stats", "--no-stream"]).success()?;
    done.says("CPU %")?.says("/ 64MiB")?.says(" it ")?;
    let words = ["stats", "--no-stream", "--format", "{{.CPUPerc}} {{.PIDs}}", "it"];
    let done = house.dockster(words).success()?;
    let (share, pids) = done.stdout.trim_end().split_once("% ").ok_or("two cells")?;
    assert!(share.parse::<f64>()? > 0.5 && pids == "1", "{}", done.stdout);
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}

fn events() -> Result<(), Failed> {
    let house = House::new()?;
    let mut watch = Background::start(house.dockster(["events", "--format", "{{.Action}}"]))?;
    std::thread::sleep(std::time::Duration::from_millis(300) * dockster_tests::host().scale);
    start(&house, POLITE)?;
    wait_for_log(&house, "it", "ready")?;
    house.dockster(["stop", "it"]).success()?;
    house.dockster(["rm", "it"]).success()?;
    let mut seen = String::new();
    let mut byte = [0];
    while !seen.ends_with("destroy\n") {
        use std::io::Read;
        assert_eq!(watch.stdout().read(&mut byte)?, 1, "{seen}");
        seen.push(byte[0].into());
    }
    let order: Vec<_> = seen.lines().filter(|line| *line != "stop").collect();
    assert_eq!(order, ["create", "start", "die", "destroy"]);
    drop(watch);
    let words = ["events", "--since", "1h", "--until", "0s", "-f", "event=die"];
    let done = house.dockster(words).success()?;
    done.says(" container die ")?.says("exitCode=9")?.says("name=it")?;
    assert_eq!(done.stdout.lines().count(), 1);
    house.nothing_left()
}

fn diff() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "mkdir /new; echo x >/new/file; echo y >>/etc/passwd; rm /etc/group; touch /etc/a";
    house.dockster(["run", "--name", "it", "busybox", "sh", "-c", script]).success()?;
    let done = house.dockster(["diff", "it"]).success()?;
    assert_eq!(done.stdout, "C /etc\nA /etc/a\nD /etc/group\nC /etc/passwd\nA /new\nA /new/file\n");
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn prune() -> Result<(), Failed> {
    let house = House::new()?;
    start(&house, "sleep 1000")?;
    house.dockster(["run", "--name", "ended", "busybox", "true"]).success()?;
    house.dockster(["create", "--name", "made", "-l", "keep", "busybox", "true"]).success()?;
    let done = house.dockster(["container", "prune"]).input("n\n").success()?;
    done.says("WARNING! This will remove all stopped containers.")?;
    assert_eq!(house.containers()?.len(), 3);
    let done = house.dockster(["container", "prune", "-f"]).success()?;
    done.says("Deleted Containers:\n")?.says("Total reclaimed space: ")?;
    assert_eq!(house.containers()?.len(), 1);
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}

fn files_go_in_and_out() -> Result<(), Failed> {
    let house = House::new()?;
    let dir = house.join("dir");
    fs::create_dir_all(dir.join("sub"))?;
    fs::write(dir.join("sub/file"), vec![7; 300_000])?;
    fs::set_permissions(dir.join("sub/file"), fs::Permissions::from_mode(0o751))?;
    symlink("sub/file", dir.join("link"))?;
    let dir = dir.to_str().ok_or("a path")?;
    start(&house, "sleep 1000")?;
    let cp = |from: &str, to: &str| house.dockster(["cp", from, to]);
    for running in [true, false] {
        let at = if running { "/running" } else { "/stopped" };
        cp(dir, &format!("it:{at}")).success()?;
        let out = house.join(&at[1..]);
        cp(&format!("it:{at}"), out.to_str().ok_or("a path")?).success()?;
        assert_eq!(fs::read(out.join("sub/file"))?, vec![7; 300_000]);
        let mode = fs::metadata(out.join("sub/file"))?.permissions().mode();
        assert_eq!(mode & 0o7777, 0o751);
        assert_eq!(fs::read_link(out.join("link"))?.to_str(), Some("sub/file"));
        // A directory that is there takes it in; with `/.` its contents.
        cp(dir, &format!("it:{at}")).success()?;
        cp(&format!("{dir}/."), "it:/tmp").success()?;
        let again = house.join(&format!("again-{running}"));
        cp(&format!("it:{at}/dir/sub/file"), again.to_str().ok_or("a path")?).success()?;
        assert_eq!(fs::metadata(again)?.len(), 300_000);
        cp("it:/nosuch", dir).code(1)?.complains("/nosuch")?;
        cp(&format!("{dir}/link"), "it:/nosuch/").code(1)?;
        if running {
            house.dockster(["kill", "it"]).success()?;
        }
    }
    house.dockster(["start", "it"]).success()?;
    house.dockster(["exec", "it", "test", "-f", "/stopped/dir/sub/file"]).success()?;
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}

/// However the container puts links in the way (CVE-2018-15664).
fn a_link_leads_nowhere() -> Result<(), Failed> {
    let house = House::new()?;
    let outside = house.join("outside");
    fs::create_dir(&outside)?;
    fs::write(outside.join("marker"), "unchanged")?;
    fs::write(house.join("evil"), "evil")?;
    let target = outside.to_str().ok_or("a path")?;
    let script = format!(
        "mkdir /dir; echo ready; while :; do mv /dir /keep; ln -s {target} /dir; rm /dir; mv /keep /dir; done"
    );
    start(&house, &script)?;
    wait_for_log(&house, "it", "ready")?;
    let evil = house.join("evil");
    let evil = evil.to_str().ok_or("a path")?;
    for _ in 0..if dockster_tests::host().is_slow() { 3 } else { 40 } {
        house.dockster(["cp", evil, "it:/dir/marker"]).done()?;
        house
            .dockster(["cp", "it:/dir/marker", house.join("got").to_str().ok_or("a path")?])
            .done()?;
    }
    assert_eq!(fs::read_to_string(outside.join("marker"))?, "unchanged");
    assert_eq!(fs::read_dir(&outside)?.count(), 1);
    assert!(!fs::read_to_string(house.join("got")).is_ok_and(|text| text == "unchanged"));
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}
