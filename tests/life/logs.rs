//! What a container says, kept and shown.

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use dockster_tests::{Failed, Need, Run, Trial, host, wait_until};
use sha2::{Digest, Sha256};

use crate::background::{field, wait_for_log};
use crate::tools::{Background, DOCKSTER, House, PATIENCE, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("both_streams_are_kept_with_their_times", &[], both_streams),
        beside("any_byte_comes_back", &[], any_byte_comes_back),
        beside("the_file_is_dockers_json", &[], the_file_is_dockers_json),
        beside("the_foreground_is_kept_too", &[], the_foreground_is_kept_too),
        beside("tail_since_and_until_choose", &[], tail_since_and_until),
        beside("following_ends_with_the_container", &[], following),
        beside("a_log_is_rotated_by_size", &[], a_log_is_rotated),
        beside("a_log_outlives_its_shim", &[], a_log_outlives_its_shim),
        beside("a_full_disk_says_how_much_is_missing", &[Need::Root], a_full_disk),
        beside("none_keeps_nothing", &[], none_keeps_nothing),
    ]
}

fn both_streams() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "echo out; echo err >&2; printf part";
    house.dockster(["run", "-d", "--name", "it", "busybox", "sh", "-c", script]).success()?;
    house.dockster(["wait", "it"]).success()?;
    let done = house.dockster(["logs", "it"]).success()?;
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\npart", "err\n"));
    let done = house.dockster(["logs", "-t", "it"]).success()?;
    let line = done.stdout.lines().next().unwrap_or_default();
    let (time, text) = line.split_once(' ').ok_or("no time")?;
    assert_eq!(text, "out");
    assert!(time.len() == 30 && time.ends_with('Z') && time.contains('T'), "{time}");
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn any_byte_comes_back() -> Result<(), Failed> {
    let house = House::new()?;
    fs::create_dir(house.join("in"))?;
    // No text at all, and words cut wherever reading stops.
    let mut state = 1u64;
    let noise: Vec<u8> = (0..1_000_000)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 56) as u8
        })
        .chain("ä€😀\u{2028}\"\\\r\n\t".repeat(20_000).into_bytes())
        .collect();
    fs::write(house.join("in/noise"), &noise)?;
    let volume = format!("{}:/in", house.join("in").display());
    house
        .dockster(["run", "-d", "--name", "it", "-v", &volume, "busybox", "cat", "/in/noise"])
        .success()?;
    house.dockster(["wait", "it"]).success()?;
    let mut child = house.dockster(["logs", "it"]).into_command().stdout(Stdio::piped()).spawn()?;
    let mut back = Vec::new();
    child.stdout.take().ok_or("a pipe")?.read_to_end(&mut back)?;
    assert!(child.wait()?.success());
    assert_eq!(back.len(), noise.len());
    assert_eq!(Sha256::digest(&back), Sha256::digest(&noise));
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn the_file_is_dockers_json() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "printf 'a \"b\" \\\\ \\001\\377\\n'";
    house.dockster(["run", "--name", "it", "busybox", "sh", "-c", script]).success()?;
    let path = field(&house, "it", ".LogPath")?;
    let text = if host().root { fs::read_to_string(path)? } else { String::new() };
    let start =
        "{\"log\":\"a \\\"b\\\" \\\\ \\u0001\\udcff\\n\",\"stream\":\"stdout\",\"time\":\"2";
    assert!(text.starts_with(start) || !host().root, "{text}");
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn the_foreground_is_kept_too() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "echo out; echo err >&2";
    let done = house.dockster(["run", "--name", "it", "busybox", "sh", "-c", script]).success()?;
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    let done = house.dockster(["logs", "it"]).success()?;
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn tail_since_and_until() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "for i in $(seq 100); do echo $i; done; sleep 1.2; echo late";
    house.dockster(["run", "-d", "--name", "it", "busybox", "sh", "-c", script]).success()?;
    house.dockster(["wait", "it"]).success()?;
    let said = |words: &[&str]| {
        let all = ["logs", "it"].iter().chain(words).copied();
        house.dockster(all).success().map(|done| done.stdout)
    };
    assert_eq!(said(&["--tail", "2"])?, "100\nlate\n");
    assert_eq!(said(&["-n", "0"])?, "");
    assert_eq!(said(&["--tail", "all"])?.lines().count(), 101);
    let finished = field(&house, "it", ".State.FinishedAt")?;
    assert_eq!(said(&["--since", &finished])?, "");
    assert_eq!(said(&["--since", "10m"])?.lines().count(), 101);
    let first = said(&["-t", "-n", "1"])?;
    let late = first.split(' ').next().unwrap_or_default();
    assert_eq!(said(&["--since", late])?, "late\n");
    assert_eq!(said(&["--until", "10m"])?, "");
    house.dockster(["logs", "--since", "whenever", "it"]).code(1)?;
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn following() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "trap 'echo last; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    house
        .dockster(["run", "-d", "--rm", "--name", "it", "busybox", "sh", "-c", script])
        .success()?;
    let mut follow = Background::ready(house.dockster(["logs", "-f", "it"]))?;
    assert!(!follow.ended());
    house.dockster(["kill", "-s", "TERM", "it"]).success()?;
    let mut rest = String::new();
    follow.stdout().read_to_string(&mut rest)?;
    assert_eq!(rest, "last\n");
    assert!(follow.status()?.success());
    let all = house.root().join("containers");
    wait_until("it has gone by itself", PATIENCE, || {
        fs::read_dir(&all).is_ok_and(|mut left| left.next().is_none())
    })?;
    house.nothing_left()
}

fn a_log_is_rotated() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "i=0; while [ $i -lt 4000 ]; do i=$((i+1)); echo line $i; [ $((i%500)) != 0 ] || sleep 0.4; done; echo end";
    let words =
        ["run", "-d", "--name", "it", "--log-opt", "max-size=100k", "--log-opt", "max-file=3"];
    let words = words.into_iter().chain(["busybox", "sh", "-c", script]);
    house.dockster(words).success()?;
    let follow = Background::start(house.dockster(["logs", "-f", "it"]))?;
    house.dockster(["wait", "it"]).success()?;
    let mut follow = follow;
    let mut all = String::new();
    follow.stdout().read_to_string(&mut all)?;
    // Who has followed from the beginning has seen each line, in order.
    let seen: Vec<_> = all.lines().filter_map(|line| line.strip_prefix("line ")).collect();
    let first: usize = seen.first().ok_or("nothing")?.parse()?;
    assert!(seen.iter().enumerate().all(|(at, n)| n.parse() == Ok(first + at)), "a gap");
    assert_eq!(seen.last(), Some(&"4000"));
    let kept = house.dockster(["logs", "it"]).success()?.stdout;
    assert!(kept.ends_with("line 4000\nend\n"), "the end is missing");
    assert!(kept.lines().count() < 4000, "nothing was dropped");
    if host().root {
        let path = field(&house, "it", ".LogPath")?;
        let sizes =
            ["", ".1", ".2"].map(|end| fs::metadata(format!("{path}{end}")).map(|m| m.len()));
        for size in sizes {
            assert!(size? <= 102_400);
        }
        assert!(!std::path::Path::new(&format!("{path}.3")).exists());
    }
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn a_log_outlives_its_shim() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo line $i; done; sleep 1000";
    house.dockster(["run", "-d", "--name", "it", "busybox", "sh", "-c", script]).success()?;
    wait_for_log(&house, "it", "line 100\n")?;
    crate::crashes::kill_shims(&house)?;
    let logs = house.dockster(["logs", "it"]).success()?.stdout;
    assert!(logs.ends_with('\n') && logs.lines().count() >= 100);
    for (at, line) in logs.lines().enumerate() {
        assert_eq!(line, format!("line {}", at + 1));
    }
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

/// On a small file system in mounts of its own: what does not fit is counted, and said.
fn a_full_disk() -> Result<(), Failed> {
    let house = House::new()?;
    let script = r#"
        set -e
        mkdir -p "$DIR" "$DIR.marks"
        mount -t tmpfs -o size=12m tmpfs "$DIR"
        export DOCKSTER_ROOT="$DIR/root"
        "$DOCKSTER" import "$TREE" busybox >/dev/null
        "$DOCKSTER" run -d --name it -v "$DIR.marks:/marks" busybox sh -c '
            echo first
            while [ ! -e /marks/go ]; do sleep 0.05; done
            seq 20000; : >/marks/done
            while [ ! -e /marks/free ]; do sleep 0.05; done
            echo back; : >/marks/back; sleep 1000' >/dev/null
        until "$DOCKSTER" logs it | grep -q first; do sleep 0.05; done
        dd if=/dev/zero of="$DIR/fill" bs=4k 2>/dev/null || true
        : >"$DIR.marks/go"
        while [ ! -e "$DIR.marks/done" ]; do sleep 0.05; done
        rm "$DIR/fill"; : >"$DIR.marks/free"
        while [ ! -e "$DIR.marks/back" ]; do sleep 0.05; done
        sleep 0.2
        "$DOCKSTER" logs it 2>&1 | grep -v '^[0-9]*$'
        "$DOCKSTER" rm -f it >/dev/null
        # The mounts go with their namespace; its shim may need a moment yet.
        umount "$DIR" 2>/dev/null || true
    "#;
    let done = Run::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .env("DOCKSTER", DOCKSTER)
        .env("DIR", house.join("small"))
        .env("TREE", house.join("tree"))
        .limit(Duration::from_secs(60))
        .success()?;
    done.says("first\n")?
        .says(" bytes of output are missing here: No space left")?
        .says("back\n")?;
    house.nothing_left()
}

fn none_keeps_nothing() -> Result<(), Failed> {
    let house = House::new()?;
    let words = ["run", "--name", "it", "--log-driver", "none", "busybox", "echo", "said"];
    assert_eq!(house.dockster(words).success()?.stdout, "said\n");
    house.dockster(["logs", "it"]).code(1)?.complains("does not support reading")?;
    wait_until("it is over", PATIENCE, || true)?;
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}
