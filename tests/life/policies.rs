//! Who is started again, and when.

use dockster_tests::{Failed, Trial, wait_until};

use crate::background::field;
use crate::tools::{House, PATIENCE, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("on_failure_gives_up_after_so_many", &[], on_failure),
        beside("always_means_always_until_stop", &[], always),
        beside("success_is_no_failure", &[], success_is_no_failure),
        beside("pauses_between_starts_grow", &[], pauses_grow),
        beside("the_foreground_has_policies_too", &[], the_foreground),
        beside("system_start_does_what_policies_say", &[], system_start),
        beside("a_unit_for_systemd_starts_them", &[], a_unit),
    ]
}

fn on_failure() -> Result<(), Failed> {
    let house = House::new()?;
    let words = ["run", "-d", "--name", "it", "--restart", "on-failure:2", "busybox", "sh", "-c"];
    house.dockster(words.into_iter().chain(["echo life; exit 3"])).success()?;
    let over = || field(&house, "it", ".State.Status").is_ok_and(|status| status == "exited");
    wait_until("it gives up", PATIENCE, over)?;
    assert_eq!(house.dockster(["logs", "it"]).success()?.stdout, "life\n".repeat(3));
    assert_eq!(field(&house, "it", ".RestartCount")?, "2");
    assert_eq!(field(&house, "it", ".State.ExitCode")?, "3");
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn always() -> Result<(), Failed> {
    let house = House::new()?;
    let words = ["run", "-d", "--name", "it", "--restart", "always", "busybox", "true"];
    house.dockster(words).success()?;
    let lives = || field(&house, "it", ".RestartCount").ok().and_then(|n| n.parse::<u32>().ok());
    wait_until("it was started again", PATIENCE, || lives().is_some_and(|count| count >= 2))?;
    house.dockster(["stop", "it"]).success()?;
    assert_eq!(field(&house, "it", ".State.Status")?, "exited");
    let count = lives();
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!((field(&house, "it", ".State.Status")?.as_str(), lives()), ("exited", count));
    // The same of one that runs, and by kill.
    let words =
        ["run", "-d", "--name", "other", "--restart", "unless-stopped", "busybox", "sleep", "1000"];
    house.dockster(words).success()?;
    house.dockster(["kill", "other"]).success()?;
    assert_eq!(field(&house, "other", ".State.Status")?, "exited");
    // Killed from elsewhere it is started again.
    house.dockster(["start", "other"]).success()?;
    let pid = field(&house, "other", ".State.Pid")?;
    house.dockster(["exec", "other", "kill", "-9", "1"]).done()?;
    let outside = nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid.parse()?),
        nix::sys::signal::Signal::SIGKILL,
    );
    assert!(outside.is_ok() || outside == Err(nix::errno::Errno::ESRCH));
    let again = || field(&house, "other", ".State.Pid").is_ok_and(|now| now != pid && now != "0");
    wait_until("it runs again", PATIENCE, again)?;
    house.dockster(["rm", "-f", "it", "other"]).success()?;
    house.nothing_left()
}

fn success_is_no_failure() -> Result<(), Failed> {
    let house = House::new()?;
    let words = ["run", "-d", "--name", "it", "--restart", "on-failure", "busybox", "true"];
    house.dockster(words).success()?;
    house.dockster(["wait", "it"]).success()?;
    assert_eq!(field(&house, "it", ".State.Status")?, "exited");
    assert_eq!(field(&house, "it", ".RestartCount")?, "0");
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn pauses_grow() -> Result<(), Failed> {
    let house = House::new()?;
    let words = ["run", "-d", "--name", "it", "--restart", "on-failure:4", "busybox", "sh", "-c"];
    let script = "cut -d' ' -f1 /proc/uptime; exit 1";
    house.dockster(words.into_iter().chain([script])).success()?;
    let over = || field(&house, "it", ".State.Status").is_ok_and(|status| status == "exited");
    wait_until("it gives up", PATIENCE, over)?;
    let logs = house.dockster(["logs", "it"]).success()?.stdout;
    let times: Vec<f64> = logs.lines().map(str::parse).collect::<Result<_, _>>()?;
    assert_eq!(times.len(), 5);
    let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (gap, least) in gaps.iter().zip([0.1, 0.2, 0.4, 0.8]) {
        assert!(*gap >= least - 0.02, "{gaps:?}");
    }
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn the_foreground() -> Result<(), Failed> {
    let house = House::new()?;
    // Enter goes on from a pause, and is a key for the container afterwards. (A step that is
    // taken once: an ordinary user's command has an execve of its own before.)
    let words = ["run", "-it", "--name", "it", "--restart", "on-failure", "--pause=pivot_root"];
    let run = house.dockster(words).args(["busybox", "sh", "-c", "read x; echo got $x"]);
    let mut terminal = dockster_tests::Terminal::spawn(run.into_command(), 30, 100)?;
    terminal.wait_for("Enter goes on")?;
    terminal.type_keys("\r")?;
    terminal.type_keys("word\r")?;
    terminal.wait_for("got word")?;
    assert_eq!(terminal.finish()?.code(), Some(0));
    house.dockster(["rm", "it"]).success()?;
    let words = ["run", "--name", "it", "--restart", "on-failure:1", "busybox", "sh", "-c"];
    let done = house.dockster(words.into_iter().chain(["echo life; exit 3"])).code(3)?;
    assert_eq!(done.stdout, "life\n");
    let over = || field(&house, "it", ".State.Status").is_ok_and(|status| status == "exited");
    wait_until("it gives up", PATIENCE, over)?;
    assert_eq!(field(&house, "it", ".RestartCount")?, "1");
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn system_start() -> Result<(), Failed> {
    let house = House::new()?;
    for (name, policy) in [("al", "always"), ("un", "unless-stopped"), ("no", "no")] {
        let words = ["run", "-d", "--name", name, "--restart", policy, "busybox", "sleep", "1000"];
        house.dockster(words).success()?;
        house.dockster(["stop", "-t", "0", name]).success()?;
    }
    house.dockster(["system", "start"]).success()?;
    let status = |name| field(&house, name, ".State.Status");
    assert_eq!((status("al")?.as_str(), status("un")?.as_str()), ("running", "exited"));
    assert_eq!(status("no")?, "exited");
    house.dockster(["start", "un", "no"]).success()?;
    // As after a power cut: nobody is left, and the records say that all run.
    let first = field(&house, "al", ".State.Pid")?;
    crate::crashes::kill_shims(&house)?;
    house.dockster(["system", "start"]).success()?;
    assert_eq!((status("al")?.as_str(), status("un")?.as_str()), ("running", "running"));
    assert_eq!(status("no")?, "exited");
    assert_ne!(field(&house, "al", ".State.Pid")?, first);
    house.dockster(["rm", "-f", "al", "un", "no"]).success()?;
    house.nothing_left()
}

/// The command line in it is one that works, whatever the paths look like.
fn a_unit() -> Result<(), Failed> {
    let house = House::new()?;
    house
        .dockster(["run", "-d", "--name", "it", "--restart", "always", "busybox", "sleep", "1000"])
        .success()?;
    house.dockster(["stop", "-t", "0", "it"]).success()?;
    let unit = house.dockster(["system", "unit"]).success()?;
    unit.says("[Service]")?.says("KillMode=process")?.says("WantedBy=")?;
    let line = unit.stdout.lines().find_map(|line| line.strip_prefix("ExecStart="));
    let line = line.ok_or("no ExecStart")?;
    assert!(line.contains(&format!("\"{}\"", house.root().display())), "{line}");
    // A shell reads these quotes as systemd does.
    dockster_tests::Run::new("sh").args(["-c", line]).success()?;
    assert_eq!(field(&house, "it", ".State.Status")?, "running");
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}
