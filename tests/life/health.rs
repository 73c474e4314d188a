//! Is it well? Checks, what their answers make of a container, and who hears of it.

use std::fs;
use std::time::{Duration, Instant};

use dockster_tests::{Failed, Need, Run, Trial, scaled, wait_until};

use crate::background::field;
use crate::tools::{Background, House, PATIENCE, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("a_container_is_starting_and_then_healthy", &[], starting_then_healthy),
        beside("many_failures_in_a_row_are_unhealthy", &[], failures_in_a_row),
        beside("a_check_that_does_not_end_is_killed", &[], a_check_that_does_not_end),
        beside("early_failures_do_not_count", &[], early_failures),
        beside("a_paused_container_is_not_asked", &[Need::Limits], a_paused_container),
        beside("a_new_life_is_asked_anew", &[], a_new_life),
        beside("the_foreground_is_asked_too", &[], the_foreground),
        beside("an_image_says_how_it_is_asked_and_stopped", &[], an_image_says),
        beside("no_check_and_what_contradicts_itself", &[], no_check),
    ]
}

/// `dockster run -d --name it --health-cmd CHECK --health-interval 200ms OPTIONS busybox sleep`.
fn asked(house: &House, check: &str, options: &[&str]) -> Run {
    let words = ["run", "-d", "--name", "it", "--health-cmd", check, "--health-interval", "200ms"];
    let rest = ["busybox", "sh", "-c", "echo 0 > /fine; exec sleep 1000"];
    house.dockster(words.into_iter().chain(options.iter().copied()).chain(rest))
}

fn becomes(house: &House, status: &str) -> Result<(), Failed> {
    wait_until(&format!("it is {status}"), PATIENCE, || {
        field(house, "it", ".State.Health.Status").is_ok_and(|now| now == status)
    })
}

fn set(house: &House, fine: &str) -> Result<(), Failed> {
    let script = format!("echo {fine} > /fine");
    house.dockster(["exec", "it", "sh", "-c", &script]).success().map(drop)
}

/// And back, and what is said of it: in ps, inspect and events.
fn starting_then_healthy() -> Result<(), Failed> {
    let house = House::new()?;
    let check = "echo checked $HOME; exit $(cat /fine)";
    asked(&house, check, &["--health-retries", "2", "-e", "HOME=/here"]).success()?;
    becomes(&house, "healthy")?;
    house.dockster(["ps"]).success()?.says(" (healthy)")?;
    assert_eq!(field(&house, "it", ".State.Health.FailingStreak")?, "0");
    set(&house, "3")?;
    becomes(&house, "unhealthy")?;
    let listed = house.dockster(["ps", "-q", "-f", "health=unhealthy"]).success()?.stdout;
    assert_eq!(listed.lines().count(), 1);
    house.dockster(["ps", "-q", "-f", "health=healthy"]).success()?.says("")?;
    let log = || field(&house, "it", "json .State.Health.Log");
    wait_until("five answers are kept", PATIENCE, || {
        log().is_ok_and(|log| log.matches("\"ExitCode\":3").count() == 5)
    })?;
    assert!(log()?.contains(r#""Output":"checked /here\n""#), "{}", log()?);
    assert_eq!(log()?.matches("\"Start\"").count(), 5);
    set(&house, "0")?;
    becomes(&house, "healthy")?;
    let words = ["events", "--since", "1h", "--until", "0s", "-f", "event=health_status"];
    let events = house.dockster(words).success()?.stdout;
    let said: Vec<_> = events
        .lines()
        .filter_map(|line| line.split("health_status: ").nth(1)?.split(' ').next())
        .collect();
    assert_eq!(said, ["healthy", "unhealthy", "healthy"], "{events}");
    house.dockster(["stop", "-t", "0", "it"]).success()?;
    assert_eq!(field(&house, "it", ".State.Health.Status")?, "unhealthy");
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn failures_in_a_row() -> Result<(), Failed> {
    let house = House::new()?;
    asked(&house, "/no/such/program", &["--health-retries", "3"]).success()?;
    house.dockster(["ps"]).success()?.says(" (health: starting)")?;
    becomes(&house, "unhealthy")?;
    let streak: u32 = field(&house, "it", ".State.Health.FailingStreak")?.parse()?;
    assert!(streak >= 3, "{streak}");
    assert!(field(&house, "it", "json .State.Health.Log")?.contains("\"ExitCode\":127"));
    // It is only told: what it does is its own.
    assert_eq!(field(&house, "it", ".State.Status")?, "running");
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}

fn a_check_that_does_not_end() -> Result<(), Failed> {
    let house = House::new()?;
    let check = "echo on my way; exec sleep 12345";
    asked(&house, check, &["--health-timeout", "300ms", "--health-retries", "1"]).success()?;
    becomes(&house, "unhealthy")?;
    let log = field(&house, "it", "json .State.Health.Log")?;
    assert!(log.contains("\"ExitCode\":-1"), "{log}");
    assert!(log.contains("Health check exceeded timeout (300ms): on my way"), "{log}");
    let running = house.dockster(["exec", "it", "ps"]).success()?.stdout;
    assert!(running.matches("12345").count() <= 1, "{running}");
    // Nobody waits for it when the container ends.
    let before = Instant::now();
    house.dockster(["rm", "-f", "it"]).success()?;
    assert!(before.elapsed() < scaled(Duration::from_secs(5)));
    house.nothing_left()
}

fn early_failures() -> Result<(), Failed> {
    let house = House::new()?;
    let options = ["--health-start-period", "1h", "--health-start-interval", "100ms"];
    let options = [&options[..], &["--health-retries", "1", "--health-interval", "1h"]].concat();
    asked(&house, "exit $(cat /fine)", &options).success()?;
    // The interval is the short one as long as it starts.
    becomes(&house, "healthy")?;
    house.dockster(["rm", "-f", "it"]).success()?;
    asked(&house, "exit 1", &options).success()?;
    wait_until("it was asked five times", PATIENCE, || {
        field(&house, "it", "json .State.Health.Log")
            .is_ok_and(|log| log.matches("\"ExitCode\":1").count() == 5)
    })?;
    assert_eq!(field(&house, "it", ".State.Health.Status")?, "starting");
    assert_eq!(field(&house, "it", ".State.Health.FailingStreak")?, "0");
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}

fn a_paused_container() -> Result<(), Failed> {
    let house = House::new()?;
    asked(&house, "exit $(cat /fine)", &["--health-timeout", "1s"]).success()?;
    becomes(&house, "healthy")?;
    house.dockster(["pause", "it"]).success()?;
    let last = || field(&house, "it", "json .State.Health.Log");
    let before = last()?;
    std::thread::sleep(Duration::from_millis(800));
    // One may have been on its way.
    assert!(last()?.matches("\"ExitCode\":-1").count() <= 1, "{before}");
    house.dockster(["unpause", "it"]).success()?;
    let paused = last()?;
    wait_until("it is asked again", PATIENCE, || last().is_ok_and(|now| now != paused))?;
    becomes(&house, "healthy")?;
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}

fn a_new_life() -> Result<(), Failed> {
    let house = House::new()?;
    let options = ["--health-retries", "1", "--restart", "always"];
    asked(&house, "exit $(cat /fine)", &options).success()?;
    becomes(&house, "healthy")?;
    set(&house, "1")?;
    becomes(&house, "unhealthy")?;
    let pid: i32 = field(&house, "it", ".State.Pid")?.parse()?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)?;
    becomes(&house, "healthy")?;
    assert_eq!(field(&house, "it", ".RestartCount")?, "1");
    house.dockster(["restart", "-t", "0", "it"]).success()?;
    becomes(&house, "healthy")?;
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}

fn the_foreground() -> Result<(), Failed> {
    let house = House::new()?;
    let words = ["run", "--name", "it", "--health-cmd", "true", "--health-interval", "100ms"];
    let script = "trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done";
    let run = house.dockster(words).args(["busybox", "sh", "-c", script]);
    let mut run = Background::ready(run)?;
    becomes(&house, "healthy")?;
    house.dockster(["stop", "it"]).success()?;
    assert_eq!(run.status()?.code(), Some(4));
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

/// An archive as docker saves it, of an image whose Dockerfile has HEALTHCHECK and STOPSIGNAL.
fn saved(house: &House) -> Result<std::path::PathBuf, Failed> {
    let (tree, dir) = (house.tree()?, house.join("saved"));
    fs::create_dir(&dir)?;
    Run::new("tar").arg("-cf").arg(dir.join("layer.tar")).arg("-C").arg(tree).arg(".").success()?;
    let sum = Run::new("sha256sum").arg(dir.join("layer.tar")).success()?.stdout;
    let diff_id = format!("sha256:{}", sum.get(..64).ok_or("a digest")?);
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "config": {
            "Cmd": ["sh", "-c", "trap 'exit 7' USR1; echo 0 >/fine; while :; do sleep 0.05; done"],
            "Env": ["PATH=/bin"],
            "Healthcheck": {
                "Test": ["CMD-SHELL", "echo asked; exit $(cat /fine)"],
                "Interval": 200_000_000, "StartPeriod": 1_000_000, "Retries": 2,
            },
            "StopSignal": "SIGUSR1",
        },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        "history": [{ "created_by": "COPY . / # buildkit" }],
    });
    let manifest = r#"[{"Config":"c.json","RepoTags":["asked:1"],"Layers":["layer.tar"]}]"#;
    fs::write(dir.join("c.json"), config.to_string())?;
    fs::write(dir.join("manifest.json"), manifest)?;
    let archive = house.join("saved.tar");
    Run::new("tar").arg("-cf").arg(&archive).arg("-C").arg(dir).arg(".").success()?;
    Ok(archive)
}

fn an_image_says() -> Result<(), Failed> {
    let house = House::empty();
    house.dockster(["load", "-i"]).arg(saved(&house)?).success()?;
    house.dockster(["run", "-d", "--name", "it", "asked:1"]).success()?;
    becomes(&house, "healthy")?;
    assert!(field(&house, "it", "json .State.Health.Log")?.contains("asked"));
    set(&house, "1")?;
    becomes(&house, "unhealthy")?;
    house.dockster(["stop", "it"]).success()?;
    assert_eq!(field(&house, "it", ".State.ExitCode")?, "7");
    // What is made of it says the same.
    house.dockster(["commit", "it", "again"]).success()?;
    house.dockster(["rm", "it"]).success()?;
    house.dockster(["run", "-d", "--name", "it", "again"]).success()?;
    becomes(&house, "healthy")?;
    house.dockster(["stop", "it"]).success()?;
    assert_eq!(field(&house, "it", ".State.ExitCode")?, "7");
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn no_check() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["create", "--name", "it", "--no-healthcheck", "busybox", "true"]).success()?;
    assert!(field(&house, "it", "json .State")?.contains("Health").eq(&false));
    house.dockster(["rm", "it"]).success()?;
    let words = ["create", "--no-healthcheck", "--health-cmd", "true", "busybox", "true"];
    let done = house.dockster(words).code(125)?;
    one_sentence(&done, "--no-healthcheck conflicts with --health-* options")?;
    for wrong in [["--health-interval", "10us"], ["--health-timeout", "soon"]] {
        let words = ["create", wrong[0], wrong[1], "busybox", "true"];
        house.dockster(words).code(125)?.complains("invalid value")?;
    }
    house.nothing_left()
}
