//! Many at once, and killed at any moment.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use dockster_tests::{Failed, Need, Trial, trial};

use crate::notes::Made;

const NS: &[Need] = &[Need::UserNamespaces];
const MANY: usize = 200;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("of_many_who_want_one_name_one_gets_it", NS, one_name),
        trial("many_names_at_once", NS, many_names),
        trial("create_killed_at_each_step", NS, killed_at_each_step),
    ]
}

/// Started, its words in a file of this number.
fn start(made: &Made, words: &str, number: usize) -> Result<Child, Failed> {
    let mut command = made.runtime(words).into_command();
    let file = File::create(made.said().with_file_name(format!("said-{number}")))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    Ok(command.spawn()?)
}

/// Which of them have succeeded, and what the others said.
fn ended(made: &Made, all: Vec<Child>) -> Result<(Vec<usize>, Vec<String>), Failed> {
    let (mut won, mut said) = (Vec::new(), Vec::new());
    for (number, mut child) in all.into_iter().enumerate() {
        let file = made.said().with_file_name(format!("said-{number}"));
        match child.wait()?.success() {
            true => won.push(number),
            false => said.push(fs::read_to_string(&file)?),
        }
    }
    Ok((won, said))
}

fn one_name() -> Result<(), Failed> {
    let made = Made::new("sleep 1000")?;
    let all = (0..MANY).map(|number| start(&made, "create ID", number));
    let (won, said) = ended(&made, all.collect::<Result<_, _>>()?)?;
    let other = said.iter().find(|text| !text.contains("already exists"));
    assert_eq!((won.len(), other), (1, None));
    assert_eq!(made.status()?, "created");
    made.runtime("start ID").success()?;
    assert_eq!(made.status()?, "running");
    made.end()
}

fn many_names() -> Result<(), Failed> {
    let made = Made::new("sleep 1000")?;
    let all = (0..MANY).map(|number| start(&made, &format!("create ID-{number}"), number));
    let (won, said) = ended(&made, all.collect::<Result<_, _>>()?)?;
    assert_eq!((won.len(), said), (MANY, Vec::new()));
    let list = made.runtime("list").success()?.stdout;
    assert_eq!(list.lines().filter(|line| line.contains(" created ")).count(), MANY, "{list}");
    let all = (0..MANY).map(|number| start(&made, &format!("delete ID-{number}"), number));
    let (gone, said) = ended(&made, all.collect::<Result<_, _>>()?)?;
    assert_eq!((gone.len(), said), (MANY, Vec::new()));
    made.end()
}

/// It notes each step before it takes it: killed at the first note, at the second, and so on.
fn killed_at_each_step() -> Result<(), Failed> {
    for options in ["", " --init"] {
        let made = Made::new("sleep 1000")?;
        let words = format!("--debug create{options} ID");
        assert!(start(&made, &words, 0)?.wait()?.success());
        let count = fs::read_to_string(made.said().with_file_name("said-0"))?.lines().count();
        assert!(count > 8, "{count} steps and no more");
        made.runtime("delete ID").success()?;
        for number in 1..=count {
            let mut command = made.runtime(&words).into_command();
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn()?;
            let notes = BufReader::new(child.stderr.take().ok_or("stderr is a pipe")?);
            let last = notes.lines().map_while(Result::ok).take(number).last();
            child.kill()?;
            child.wait()?;
            made.left_nothing().map_err(|failed| {
                Failed::from(format!("{last:?}: {}", failed.message().unwrap_or("")))
            })?;
        }
        // The name is free.
        assert!(start(&made, &words, 0)?.wait()?.success());
        made.end()?;
    }
    Ok(())
}
