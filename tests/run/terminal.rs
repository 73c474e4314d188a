//! `dockster run -it`: a shell that feels as one at home.

use dockster_tests::{Failed, Need, Run, Terminal, Trial, copy_program, find_program, wait_until};

use crate::tools::{DOCKSTER, House, PATIENCE, beside, wait_for_process};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("a_shell_on_a_terminal", &[], || a_shell(&House::new()?, "sh", "# ")),
        beside("bash_on_a_terminal", &[Need::Program("bash")], bash_on_a_terminal),
        beside("a_new_size_arrives", &[], a_new_size_arrives),
        beside("the_terminal_is_restored", &[], the_terminal_is_restored),
        beside("end_of_input_ends_it", &[], end_of_input_ends_it),
        beside("a_terminal_without_input", &[], a_terminal_without_input),
        beside("a_terminal_that_is_closed_ends_it", &[], a_terminal_that_is_closed_ends_it),
    ]
}

fn bash_on_a_terminal() -> Result<(), Failed> {
    let house = House::with(|tree| {
        let bash = find_program("bash").ok_or("there is no bash")?;
        Ok(copy_program(tree, &bash, "/bin/bash")?)
    })?;
    a_shell(&house, "bash", "# ")
}

/// Size, name, Ctrl-C, job control, exit status.
fn a_shell(house: &House, shell: &str, prompt: &str) -> Result<(), Failed> {
    let mut terminal = house.terminal(["-it", "busybox", shell])?;
    terminal.wait_for(prompt)?;
    if terminal.screen().contains("job control") {
        return Err(terminal.failed("it has no job control"));
    }
    terminal.type_keys("stty size; tty; echo $TERM\r")?;
    terminal.wait_for("30 100\n/dev/pts/0\nxterm\n")?;

    let runtime = terminal.pid() as i32;
    terminal.type_keys("sleep 1000\r")?;
    let sleep = wait_for_process(runtime, "sleep 1000")?;
    terminal.type_keys("\x03")?;
    wait_until("Ctrl-C ends sleep", PATIENCE, || !alive(sleep))?;
    terminal.type_keys("echo still $((40+2))\r")?;
    terminal.wait_for("still 42")?;

    terminal.type_keys("sleep 2000\r")?;
    wait_for_process(runtime, "sleep 2000")?;
    terminal.type_keys("\x1a")?;
    terminal.wait_for("Stopped")?;
    terminal.type_keys("echo stopped $((50+2)); fg\r")?;
    terminal.wait_for("stopped 52")?;
    let sleep = wait_for_process(runtime, "sleep 2000")?;
    let stopped =
        |pid| crate::tools::status_field(pid, "State").is_some_and(|s| s.starts_with('T'));
    wait_until("fg lets it go on", PATIENCE, || !stopped(sleep))?;
    terminal.type_keys("\x03")?;
    wait_until("Ctrl-C ends it", PATIENCE, || !alive(sleep))?;

    terminal.type_keys("exit 5\r")?;
    let status = terminal.finish()?;
    assert_eq!(status.code(), Some(5), "{}", terminal.failed("").message().unwrap_or(""));
    house.nothing_left()
}

fn alive(pid: i32) -> bool {
    crate::tools::status_field(pid, "State").is_some_and(|state| !state.starts_with('Z'))
}

fn a_new_size_arrives() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "trap 'stty size; exit 7' WINCH; echo ready; while :; do sleep 0.05; done";
    let mut terminal = house.terminal(["-it", "busybox", "sh", "-c", script])?;
    terminal.wait_for("ready")?;
    terminal.resize(50, 132)?;
    terminal.wait_for("50 132")?;
    assert_eq!(terminal.finish()?.code(), Some(7));
    house.nothing_left()
}

/// Whatever ends the container: the user's shell goes on as before.
fn the_terminal_is_restored() -> Result<(), Failed> {
    let house = House::new()?;
    for script in ["exit 3", "kill -9 $$; sh -c 'kill -9 1'; exit 3", "stty -echo raw; exit 3"] {
        let outer = r#"
            before=$(stty -g)
            "$DOCKSTER" run --rm -it busybox sh -c "$SCRIPT"; echo status=$?
            [ "$before" = "$(stty -g)" ] && echo same || echo different
        "#;
        let outer = Run::new("sh")
            .args(["-c", outer])
            .env("DOCKSTER", DOCKSTER)
            .env("DOCKSTER_ROOT", house.root())
            .env("SCRIPT", script);
        let mut terminal = Terminal::spawn(outer.into_command(), 24, 80)?;
        terminal.wait_for("status=3\nsame")?;
        terminal.finish()?;
    }
    house.nothing_left()
}

fn end_of_input_ends_it() -> Result<(), Failed> {
    let house = House::new()?;
    let mut terminal = house.terminal(["-it", "busybox", "cat"])?;
    terminal.type_keys("a line\r")?;
    // Once as it is typed, once as cat answers.
    terminal.wait_for("a line\na line")?;
    terminal.type_keys("\x04")?;
    assert_eq!(terminal.finish()?.code(), Some(0));
    // Ctrl-C is a key for the container: cat dies of it unless it is PID 1, a shell's child does.
    let mut terminal = house.terminal(["-it", "busybox", "sh", "-c", "cat; exit 6"])?;
    wait_for_process(terminal.pid() as i32, "cat")?;
    terminal.type_keys("\x03")?;
    let status = terminal.finish()?;
    assert!(matches!(status.code(), Some(6 | 130)), "{status}");
    house.nothing_left()
}

fn a_terminal_without_input() -> Result<(), Failed> {
    let house = House::new()?;
    let done =
        house.sh(["-t"], "tty; test -t 0 && test -t 1 && test -t 2 && echo all").success()?;
    assert_eq!(done.stdout, "/dev/pts/0\r\nall\r\n");
    house.nothing_left()
}

/// The window is closed: the runtime gets SIGHUP, and so does the container.
fn a_terminal_that_is_closed_ends_it() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "trap 'exit 0' HUP; echo ready; while :; do sleep 0.05; done";
    let mut terminal = house.terminal(["-it", "busybox", "sh", "-c", script])?;
    terminal.wait_for("ready")?;
    assert_eq!(terminal.hang_up()?.code(), Some(0));
    house.nothing_left()
}
