//! Programs that use the whole screen, as a person uses them.

use dockster_tests::{Failed, Terminal, Trial, wait_until};

use crate::background::field;
use crate::tools::{House, PATIENCE, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("an_editor_on_the_whole_screen", &[], an_editor),
        beside("a_pager_and_a_new_size", &[], a_pager),
        beside("a_full_screen_is_left_and_found_again", &[], left_and_found_again),
        beside("an_editor_by_exec", &[], an_editor_by_exec),
    ]
}

fn last_line(screen: &str) -> &str {
    screen.trim_end().lines().last().unwrap_or("")
}

/// Types into vi, moves, saves; then the shell's screen is as it was.
fn edit(terminal: &mut Terminal) -> Result<(), Failed> {
    terminal.wait_for("# ")?;
    terminal.type_keys("vi /tmp/text\r")?;
    terminal.wait_until("vi draws its lines", |screen| screen.matches("\n~").count() > 10)?;
    terminal.type_keys("ifirst line\rsecond line\x1b")?;
    terminal.wait_for("first line\nsecond line\n~")?;
    // Up, to the end of the line, and append there.
    terminal.type_keys("kA, and more\x1b")?;
    terminal.wait_for("first line, and more\nsecond line\n~")?;
    terminal.type_keys(":wq\r")?;
    terminal.wait_until("vi has left the screen", |screen| last_line(screen).ends_with('#'))?;
    terminal.type_keys("clear; cat /tmp/text; echo en''d\r")?;
    terminal.wait_for("first line, and more\nsecond line\nend\n")
}

fn an_editor() -> Result<(), Failed> {
    let house = House::new()?;
    let mut terminal = house.terminal(["-it", "busybox", "sh"])?;
    edit(&mut terminal)?;
    terminal.type_keys("exit 3\r")?;
    assert_eq!(terminal.finish()?.code(), Some(3));
    house.nothing_left()
}

fn an_editor_by_exec() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["run", "-d", "--name", "it", "busybox", "sleep", "1000"]).success()?;
    let run = house.dockster(["exec", "-it", "it", "sh"]);
    let mut terminal = Terminal::spawn(run.into_command(), 30, 100)?;
    edit(&mut terminal)?;
    terminal.type_keys("exit 4\r")?;
    assert_eq!(terminal.finish()?.code(), Some(4));
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}

/// `less` fills whatever the screen has room for.
fn a_pager() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "seq 1 500 | less";
    let mut terminal = house.terminal(["-it", "--name", "it", "busybox", "sh", "-c", script])?;
    let shows = |from: u32, to: u32| {
        move |screen: &str| {
            let numbers: Vec<u32> = screen.lines().filter_map(|l| l.trim().parse().ok()).collect();
            numbers.first() == Some(&from) && numbers.last() == Some(&to)
        }
    };
    terminal.wait_until("30 lines: 29 and a prompt", shows(1, 29))?;
    terminal.type_keys(" ")?;
    terminal.wait_until("the next page", shows(30, 58))?;
    terminal.type_keys("g")?;
    terminal.wait_until("the first page", shows(1, 29))?;
    terminal.resize(12, 60)?;
    // The key may be faster than the size.
    let size = ["exec", "it", "sh", "-c", "stty size </dev/pts/0"];
    wait_until("the size is there", PATIENCE, || {
        house.dockster(size).done().is_ok_and(|done| done.stdout == "12 60\n")
    })?;
    terminal.type_keys("\x0c")?;
    terminal.wait_until("12 lines: 11 and a prompt", shows(1, 11))?;
    terminal.type_keys("q")?;
    assert_eq!(terminal.finish()?.code(), Some(0));
    house.nothing_left()
}

/// Ctrl-P Ctrl-Q in the middle of an editor; on a screen of another size it draws itself anew.
fn left_and_found_again() -> Result<(), Failed> {
    let house = House::new()?;
    let run = house.dockster(["run", "-it", "--name", "it", "busybox", "sh", "-c", "vi /tmp/text"]);
    let mut terminal = Terminal::spawn(run.into_command(), 30, 100)?;
    terminal.wait_until("vi draws its lines", |screen| screen.matches("\n~").count() > 10)?;
    terminal.type_keys("ihere I was")?;
    terminal.wait_for("here I was")?;
    terminal.type_keys("\x10\x11")?;
    assert_eq!(terminal.finish()?.code(), Some(0));
    assert_eq!(field(&house, "it", ".State.Status")?, "running");
    let mut terminal = Terminal::spawn(house.dockster(["attach", "it"]).into_command(), 20, 70)?;
    // The new size makes it draw itself anew.
    let first = |text: &'static str| {
        move |screen: &str| screen.lines().next().is_some_and(|line| line.trim_end() == text)
    };
    terminal.wait_until("it is drawn anew", first("here I was"))?;
    terminal.type_keys("\x1b")?;
    terminal.wait_for("- /tmp/text")?;
    terminal.type_keys("A and am again")?;
    terminal.wait_until("its keys arrive", first("here I was and am again"))?;
    terminal.type_keys("\x1b")?;
    terminal.wait_for("- /tmp/text")?;
    terminal.type_keys(":q!\r")?;
    assert_eq!(terminal.finish()?.code(), Some(0));
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}
