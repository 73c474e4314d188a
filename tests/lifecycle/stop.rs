//! `stop ID`: first asked, then made to; and `create --init`.

use std::fs;
use std::time::Duration;

use dockster_tests::{Failed, Need, Trial, trial, wait_until};

use crate::notes::{Made, create_as};

const NS: &[Need] = &[Need::UserNamespaces];
const SECONDS: Duration = Duration::from_secs(20);

pub fn trials() -> Vec<Trial> {
    vec![
        trial("stop_asks_and_waits", NS, asks),
        trial("stop_asks_as_it_is_told_to", NS, asks_as_told),
        trial("stop_insists_when_the_time_is_over", NS, insists),
        trial("stop_ends_what_never_started", NS, never_started),
        trial("stop_of_nobody_is_an_error", NS, nobody),
        trial("create_with_init_waits_with_one_process", NS, create_with_init),
    ]
}

/// A container that has said `ready`.
fn ready(script: &str, options: &str) -> Result<Made, Failed> {
    let made = Made::new(script)?;
    create_as(&made, &format!("create{options} ID"))?;
    made.runtime("start ID").success()?;
    wait_until("it is ready", SECONDS, || said(&made).contains("ready\n"))?;
    Ok(made)
}

/// Its output is where `create`'s went.
fn said(made: &Made) -> String {
    fs::read_to_string(made.said()).unwrap_or_default()
}

fn asks() -> Result<(), Failed> {
    for options in ["", " --init"] {
        let script = "trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
        let made = ready(script, options)?;
        made.runtime("stop ID").success()?;
        // No waiting here: `stop` has waited.
        assert_eq!((made.status()?.as_str(), said(&made).as_str()), ("stopped", "ready\nasked\n"));
        made.runtime("stop ID").success()?;
        made.runtime("delete ID").success()?;
        made.end()?;
    }
    Ok(())
}

fn asks_as_told() -> Result<(), Failed> {
    let script = "trap 'echo asked; exit 0' USR1; trap '' TERM; echo ready; \
                  while :; do sleep 0.05; done";
    let made = ready(script, "")?;
    made.runtime("stop --signal USR1 ID").success()?;
    assert_eq!((made.status()?.as_str(), said(&made).as_str()), ("stopped", "ready\nasked\n"));
    made.runtime("stop --signal NONSENSE ID").code(1)?.complains("unknown signal")?;
    made.end()
}

/// Number 1 does not even hear of it, and others in there are not asked.
fn insists() -> Result<(), Failed> {
    for options in ["", " --init"] {
        let made = ready("trap '' TERM; sleep 1000 & echo ready; wait; wait", options)?;
        made.runtime("stop --time 1 ID").success()?;
        made.wait_for("stopped")?;
        assert_eq!(said(&made), "ready\n");
        made.end()?;
    }
    Ok(())
}

fn never_started() -> Result<(), Failed> {
    let made = Made::new("echo started")?;
    create_as(&made, "create ID")?;
    made.runtime("stop ID").success()?;
    made.wait_for("stopped")?;
    made.runtime("start ID").code(1)?.complains("has stopped")?;
    assert_eq!(said(&made), "");
    made.end()
}

fn nobody() -> Result<(), Failed> {
    let made = Made::new("true")?;
    made.runtime("run ID").success()?;
    made.runtime("stop ID").code(1)?.complains("does not exist")?;
    made.runtime("stop --time soon ID").code(1)?;
    made.end()
}

/// It splits in two when it is started, and not before.
fn create_with_init() -> Result<(), Failed> {
    let made = Made::new("echo ready; sleep 1000")?;
    create_as(&made, "create --init ID")?;
    assert_eq!(made.status()?, "created");
    let inside = format!("/proc/{0}/task/{0}/children", made.pid()?);
    assert_eq!(fs::read_to_string(&inside)?, "");
    made.runtime("start ID").success()?;
    wait_until("it is ready", SECONDS, || said(&made).contains("ready\n"))?;
    assert_eq!(fs::read_to_string(&inside)?.split_whitespace().count(), 1);
    assert_eq!(made.runtime("exec ID cat /proc/1/comm").success()?.stdout, "init\n");
    made.end()
}
