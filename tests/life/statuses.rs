//! Exit statuses: the same, whoever is asked.

use dockster_tests::{Failed, Trial};

use crate::background::field;
use crate::tools::{Background, House, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("everybody_says_the_same_status", &[], everybody_says_the_same),
        beside("what_cannot_start_says_126_and_127", &[], what_cannot_start),
        beside("what_was_asked_wrongly_says_125_and_1", &[], what_was_asked_wrongly),
    ]
}

/// A script's end, and the status for it.
const ENDS: [(&str, i32); 5] = [
    ("exit 0", 0),
    ("exit 3", 3),
    ("exit 255", 255),
    // Number 1 of a PID namespace cannot kill itself: a child's end is passed on.
    ("sh -c 'kill -9 $$'; exit $?", 137),
    ("sh -c 'kill -TERM $$'; exit $?", 143),
];

fn everybody_says_the_same() -> Result<(), Failed> {
    let house = House::new()?;
    for (script, status) in ENDS {
        let gated = format!("cat >/dev/null; {script}");
        house.dockster(["run", "--name", "it", "busybox", "sh", "-c", script]).code(status)?;
        assert_eq!(field(&house, "it", ".State.ExitCode")?, status.to_string(), "{script}");
        house.dockster(["start", "-a", "it"]).code(status)?;
        assert_eq!(house.dockster(["wait", "it"]).success()?.stdout, format!("{status}\n"));
        house.dockster(["ps", "-a"]).success()?.says(&format!("Exited ({status}) "))?;
        house.dockster(["rm", "it"]).success()?;
        // Under a shim, and somebody who waits or is attached from before.
        let words = ["create", "-i", "--name", "it", "busybox", "sh", "-c", &gated];
        house.dockster(words).success()?;
        house.dockster(["start", "it"]).success()?;
        let mut waiting = Background::start(house.dockster(["wait", "it"]))?;
        house.dockster(["attach", "it"]).input("x").code(status)?;
        assert!(waiting.status()?.success());
        let mut said = String::new();
        std::io::Read::read_to_string(waiting.stdout(), &mut said)?;
        assert_eq!(said, format!("{status}\n"), "wait, of {script}");
        house.dockster(["rm", "it"]).success()?;
        house.dockster(["run", "-d", "--name", "it", "busybox", "sleep", "1000"]).success()?;
        house.dockster(["exec", "it", "sh", "-c", script]).code(status)?;
        house.dockster(["rm", "-f", "it"]).success()?;
    }
    // A signal from outside ends the first process, too.
    house.dockster(["run", "-d", "--name", "it", "busybox", "sleep", "1000"]).success()?;
    house.dockster(["kill", "it"]).success()?;
    assert_eq!(house.dockster(["wait", "it"]).success()?.stdout, "137\n");
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn what_cannot_start() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["run", "-d", "--name", "other", "busybox", "sleep", "1000"]).success()?;
    for (program, status) in [("/no/such", 127), ("nosuch", 127), ("/etc/passwd", 126)] {
        for words in [&["run"][..], &["run", "-d"], &["run", "--restart", "always"]] {
            let run = house.dockster(words.iter().copied());
            let done = run.args(["--name", "it", "busybox", program]).code(status)?;
            one_sentence(&done, program)?;
            house.dockster(["rm", "-f", "it"]).success()?;
        }
        house.dockster(["create", "--name", "it", "busybox", program]).success()?;
        one_sentence(&house.dockster(["start", "-a", "it"]).code(status)?, program)?;
        assert_eq!(field(&house, "it", ".State.ExitCode")?, status.to_string());
        assert_eq!(house.dockster(["wait", "it"]).success()?.stdout, format!("{status}\n"));
        house.dockster(["rm", "it"]).success()?;
        one_sentence(&house.dockster(["exec", "other", program]).code(status)?, program)?;
    }
    house.dockster(["rm", "-f", "other"]).success()?;
    house.nothing_left()
}

fn what_was_asked_wrongly() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["run", "busybox:nosuch", "true"]).code(125)?;
    house.dockster(["run", "-w", "relative", "busybox", "true"]).code(125)?;
    house.dockster(["create", "--name", "-x", "busybox", "true"]).code(125)?;
    for verb in ["start", "stop", "kill", "wait", "attach", "rm", "logs", "inspect", "pause"] {
        let done = house.dockster([verb, "nosuch"]).code(1)?;
        one_sentence(&done, "nosuch")?;
    }
    house.dockster(["exec", "nosuch", "true"]).code(1)?;
    house.nothing_left()
}
