//! `cargo x start`, `check`, `hint`, `reset`, `progress`: a learner's evening.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use course::exercise::{self, Exercise};
use course::mine;
use dockster_tests::{Done, Failed, Run, TempDir, Trial, scaled, source_dir, trial};

use crate::exercises::X;
use crate::house::{House, building};
use crate::rungs::script;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("mine_is_begun_once_and_never_lost", &[], begun_once),
        trial("mine_hints_go_up_by_one", &[], hints_go_up),
        trial("mine_progress_says_what_is_next", &[], progress),
        trial("mine_what_is_not_there_is_said", &[], not_there),
        trial("verify_sums_up", &[], verify),
        building("mine_an_evening", &[], an_evening),
        building("mine_watch_checks_what_is_saved", &[], watch),
        building("mine_one_broken_file_stops_only_itself", &[], one_broken_file),
    ]
}

/// Runs x in this tree. Every line of it has to fit.
fn x(tree: &Path, args: &str, code: i32) -> Result<Done, Failed> {
    let words = args.split(' ');
    // What is needed is there: nobody asks the network.
    let run = Run::new(X).args(words).env("CARGO_NET_OFFLINE", "true").env("NO_COLOR", "1");
    let done = run.dir(tree).limit(Duration::from_secs(300)).done()?;
    if done.status.code() != Some(code) {
        return Err(done.failed(&format!("expected {code}")));
    }
    match done.stdout.lines().find(|line| line.chars().count() > 78) {
        Some(long) => Err(done.failed(&format!("over 78 columns: {long}"))),
        None => Ok(done),
    }
}

/// A tree with nothing but the made-up exercise.
fn made_up() -> Result<TempDir, Failed> {
    let dir = TempDir::new();
    let fixtures = source_dir().join("tests/course/fixtures/chapters/90-made-up");
    let exercise = dir.join("chapters/90-made-up/exercises/2-own-name");
    fs::create_dir_all(&exercise)?;
    fs::create_dir(dir.join("book"))?;
    for file in exercise::files(&fixtures.join("exercises/2-own-name")) {
        fs::copy(&file, exercise.join(exercise::name(&file)))?;
    }
    let manifest = "[package]\nname = \"ch90-made-up\"\n\n[dependencies]\nnix = \"1\"\n\
         [dev-dependencies]\nnix = \"2\"\ndockster-tests = \"1\"\n";
    fs::write(dir.join("chapters/90-made-up/Cargo.toml"), manifest)?;
    fs::copy(source_dir().join("Cargo.toml"), dir.join("Cargo.toml"))?;
    fs::copy(source_dir().join("Cargo.lock"), dir.join("Cargo.lock"))?;
    Ok(dir)
}

fn begun_once() -> Result<(), Failed> {
    let dir = made_up()?;
    let said = x(dir.path(), "start 90.2", 0)?;
    said.says("mine/90.2-own-name/main.rs")?.says("cargo x check 90.2")?;
    said.says("open the folder mine")?;
    let folder = dir.join("mine/90.2-own-name");
    let manifest = fs::read_to_string(folder.join("Cargo.toml"))?;
    assert!(manifest.ends_with("[dependencies]\nch90-made-up.workspace = true\ncheckpoint.workspace = true\nnix = \"2\"\n"), "{manifest}");
    let starter = fs::read_to_string(folder.join("main.rs"))?;
    fs::write(folder.join("main.rs"), "fn main() {}\n")?;
    x(dir.path(), "start 90.2", 0)?.says("nothing is changed")?;
    assert_eq!(fs::read_to_string(folder.join("main.rs"))?, "fn main() {}\n");

    x(dir.path(), "reset 90.2", 0)?.says("mine/90.2-own-name/main.rs.1")?;
    assert_eq!(fs::read_to_string(folder.join("main.rs"))?, starter);
    assert_eq!(fs::read_to_string(folder.join("main.rs.1"))?, "fn main() {}\n");
    // What is as it was is not kept again; what is new is.
    x(dir.path(), "reset 90.2", 0)?;
    assert!(!folder.join("main.rs.2").exists());
    fs::write(folder.join("main.rs"), "fn main() { todo!() }\n")?;
    x(dir.path(), "reset 90.2", 0)?.says("main.rs.2")?;
    Ok(())
}

fn hints_go_up() -> Result<(), Failed> {
    let dir = made_up()?;
    x(dir.path(), "start 90.2", 0)?;
    x(dir.path(), "hint 90.2", 0)?.says("hint 1 of 3")?.says("Which call")?;
    x(dir.path(), "hint 90.2", 0)?.says("hint 2 of 3")?;
    x(dir.path(), "hint 90.2", 0)?.says("hint 3 of 3")?.says("last one")?;
    x(dir.path(), "hint 90.2", 0)?.says("hint 3 of 3")?;
    // Something else was seen: from the beginning.
    course::progress::saw(dir.path(), "90.2", "same-uts")?;
    x(dir.path(), "hint 90.2", 0)?.says("hint 1 of 3")?.says("readlink")?;
    // The same as before: on from there.
    course::progress::saw(dir.path(), "90.2", "same-uts")?;
    x(dir.path(), "hint 90.2", 0)?.says("hint 2 of 3")?;
    Ok(())
}

fn progress() -> Result<(), Failed> {
    let dir = made_up()?;
    x(dir.path(), "progress", 0)?.says("90.2  open   A name")?.says("next: 90.2")?;
    x(dir.path(), "start 90.2", 0)?;
    x(dir.path(), "progress", 0)?.says("90.2  begun  A name")?;
    course::progress::change(dir.path(), "90.2", |mark| mark.done = true)?;
    x(dir.path(), "progress", 0)?.says("90.2  done   A name")?.says("done: 10 minutes")?;
    Ok(())
}

fn not_there() -> Result<(), Failed> {
    let dir = made_up()?;
    x(dir.path(), "start 90.7", 125)?.complains("there is no exercise 90.7; `cargo x progress`")?;
    x(dir.path(), "check 90.2", 125)?.complains("90.2 is not begun: cargo x start 90.2")?;
    x(dir.path(), "reset 90.2", 125)?.complains("cargo x start 90.2")?;
    x(dir.path(), "hint 90.2", 125)?.complains("cargo x start 90.2")?;
    x(dir.path(), "watch", 125)?.complains("cargo x start 01.1")?;
    x(dir.path(), "without 90.gate", 125)?.complains("there is no piece 90.gate")?;
    x(dir.path(), "rung 90.1", 125)?.complains("there is no rung 90.1")?;
    Ok(())
}

/// The copy of the house, without a `mine`, and some exercise that anybody can do.
fn evening() -> Result<(House, Exercise), Failed> {
    let house = House::copy()?;
    let _ = fs::remove_dir_all(mine::dir(&house.tree));
    let easy = |exercise: &Exercise| {
        !exercise.is_hole() && exercise.needs.iter().all(|need| need == "user namespaces")
    };
    let all = exercise::all(&house.tree)?;
    let exercise = all.into_iter().find(easy).ok_or("no exercise is for everybody")?;
    Ok((house, exercise))
}

fn an_evening() -> Result<(), Failed> {
    let (house, exercise) = evening()?;
    let (tree, id) = (house.tree.as_path(), &exercise.id);
    x(tree, &format!("start {id}"), 0)?;
    x(tree, &format!("check {id}"), 1)?.says(&format!("cargo x hint {id}"))?;
    x(tree, &format!("hint {id}"), 0)?.says("hint 1 of 3")?;
    let file = mine::file(tree, &exercise)?;
    fs::write(&file, "fn main() { lets see }\n")?;
    x(tree, &format!("check {id}"), 1)?.says("does not compile")?;
    fs::copy(exercise.dir.join("solution.rs"), &file)?;
    x(tree, &format!("check {id}"), 0)?.says(": green")?.says("next:")?;
    // All of a chapter; and numbers as people type them.
    x(tree, &format!("check {}", exercise.number()), 0)?.says(": green")?;
    x(tree, &format!("check {}", id.trim_start_matches('0')), 0)?.says(": green")?;
    x(tree, "progress", 0)?.says(&format!("{id:<5} done"))?;
    Ok(())
}

fn one_broken_file() -> Result<(), Failed> {
    let (house, exercise) = evening()?;
    let (tree, id) = (house.tree.as_path(), &exercise.id);
    let all = exercise::all(tree)?;
    let other = all.iter().find(|other| !other.is_hole() && other.id != *id);
    let other = other.ok_or("there is only one")?;
    x(tree, &format!("start {id}"), 0)?;
    x(tree, &format!("start {}", other.id), 0)?;
    fs::copy(exercise.dir.join("solution.rs"), mine::file(tree, &exercise)?)?;
    fs::write(mine::file(tree, other)?, "fn main() { oh no }\n")?;
    x(tree, &format!("check {id}"), 0)?.says(": green")?;
    // A broken manifest breaks the workspace. That is said, and can be put right.
    fs::write(mine::folder(tree, other).join("Cargo.toml"), "[package\n")?;
    x(tree, &format!("check {id}"), 1)?.says("A Cargo.toml in mine/ cannot be read")?;
    x(tree, &format!("reset {}", other.id), 0)?.says("Cargo.toml.1")?;
    x(tree, &format!("check {id}"), 0)?.says(": green")?;
    Ok(())
}

/// Until it is killed: without a terminal, and without a word too many.
fn watch() -> Result<(), Failed> {
    let (house, exercise) = evening()?;
    let (tree, id) = (house.tree.as_path(), &exercise.id);
    x(tree, &format!("start {id}"), 0)?;
    let mut command = Run::new(X).args(["watch"]).dir(tree).env("NO_COLOR", "1").into_command();
    let mut watch = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(watch.stdout.take().ok_or("stdout is a pipe")?).lines();
    let (sender, received) = channel();
    thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let until = |text: &str| loop {
        let line = received.recv_timeout(scaled(Duration::from_secs(60)));
        match line {
            Ok(line) if line.contains(text) => return Ok(()),
            Ok(_) => {}
            Err(_) => return Err(Failed::from(format!("it never said {text}"))),
        }
    };
    let file = mine::file(tree, &exercise)?;
    let seen = until("cargo x hint").and_then(|()| until("Ctrl-C ends it")).and_then(|()| {
        fs::copy(exercise.dir.join("solution.rs"), &file)?;
        until(": green")
    });
    watch.kill()?;
    watch.wait()?;
    seen
}

/// With a cargo that only says what a real one says at its end.
fn verify() -> Result<(), Failed> {
    let says = |text: &str, code: i32| {
        let text = format!("test \"$1\" = build && exit 0\n{text}");
        let (_dir, cargo) = script(&text)?;
        Run::new(X).arg("verify").dir(source_dir()).env("CARGO", &cargo).code(code)
    };
    let result = |what: &str| format!("echo 'test result: {what}; 0 measured; finished in 1s'");
    let good = result("ok. 5 passed; 0 failed; 2 ignored");
    says(&format!("{good}\n{good}"), 0)?
        .says("verify: 10 things were looked at; all that was looked at is true; 4 cannot")?;
    let bad = result("FAILED. 5 passed; 1 failed; 0 ignored");
    says(&format!("{bad}\nexit 101"), 1)?.says("6 things were looked at; 1 of them are not")?;
    says("exit 101", 1)?.says("a suite broke off")?;
    Ok(())
}
