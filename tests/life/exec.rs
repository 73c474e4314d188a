//! One more program in a container that runs.

use dockster_tests::{Failed, Terminal, Trial};

use crate::background::{POLITE, wait_for_log};
use crate::tools::{House, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("exec_runs_beside_the_first", &[], exec_runs_beside_the_first),
        beside("exec_on_a_terminal", &[], exec_on_a_terminal),
    ]
}

fn exec_runs_beside_the_first() -> Result<(), Failed> {
    let house = House::new()?;
    house
        .dockster(["run", "-d", "--name", "it", "-e", "A=b", "busybox", "sh", "-c", POLITE])
        .success()?;
    wait_for_log(&house, "it", "ready")?;
    let sh = |script: &str| house.dockster(["exec", "it", "sh", "-c", script]);
    assert_eq!(sh("echo $A $HOME; echo bad >&2").success()?.stdout, "b /root\n");
    sh("exit 42").code(42)?;
    sh("kill -9 $$").code(137)?;
    sh("ps").success()?.says("    1 ")?;
    let done = house.dockster(["exec", "-i", "it", "cat"]).input("input").success()?;
    assert_eq!(done.stdout, "input");
    let words = ["exec", "-w", "/tmp", "-e", "C=d", "it", "sh", "-c", "pwd; echo $C"];
    assert_eq!(house.dockster(words).success()?.stdout, "/tmp\nd\n");
    one_sentence(&house.dockster(["exec", "it", "nosuch"]).code(127)?, "nosuch")?;
    one_sentence(&house.dockster(["exec", "it", "/etc/passwd"]).code(126)?, "not an executable")?;
    house.dockster(["exec", "-d", "it", "sh", "-c", "echo $$ >/pid; exec sleep 1000"]).success()?;
    dockster_tests::wait_until("it runs in the background", crate::tools::PATIENCE, || {
        sh("grep -q sleep /proc/$(cat /pid)/cmdline").done().is_ok_and(|done| done.status.success())
    })?;
    house.dockster(["stop", "it"]).success()?;
    one_sentence(&house.dockster(["exec", "it", "true"]).code(1)?, "is not running")?;
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn exec_on_a_terminal() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["run", "-d", "--name", "it", "busybox", "sleep", "1000"]).success()?;
    let run = house.dockster(["exec", "-it", "it", "sh"]);
    let mut terminal = Terminal::spawn(run.into_command(), 33, 77)?;
    terminal.wait_for("# ")?;
    terminal.type_keys("stty size; tty\r")?;
    terminal.wait_for("33 77\n/dev/pts/0")?;
    terminal.resize(20, 60)?;
    terminal.type_keys("sleep 1; stty size\r")?;
    terminal.wait_for("20 60")?;
    terminal.type_keys("exit 4\r")?;
    assert_eq!(terminal.finish()?.code(), Some(4));
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}
