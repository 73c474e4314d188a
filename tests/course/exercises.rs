//! Every exercise is red on its starter, green on its solution, and rejects the wrong
//! answers beside it. Holes are in `holes`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use course::exercise::{self, Exercise, name};
use course::judge::{Check, Judgement, Verdict, judge_with};
use dockster_tests::{Failed, Need, Trial, source_dir, trial, wait_until};

/// The program of `cargo x`.
pub const X: &str = env!("CARGO_BIN_EXE_x");

/// What is to be found out about a program: is it red, green or rejected?
pub type Proof = fn(&Exercise, Judgement) -> Result<(), Failed>;

pub fn trials() -> Vec<Trial> {
    let all = exercise::all(source_dir()).unwrap_or_default();
    all.iter().filter(|exercise| !exercise.is_hole()).flat_map(of).collect()
}

fn of(exercise: &Exercise) -> Vec<Trial> {
    let mut programs: Vec<(String, Proof)> =
        vec![("starter".into(), red), ("solution".into(), green)];
    for wrong in exercise.wrong_answers() {
        programs.push((name(&wrong).trim_end_matches(".rs").to_owned(), rejected));
    }
    let needs = needs(&exercise.needs);
    let trials = programs.into_iter().map(|(what, proof)| {
        let exercise = exercise.clone();
        trial(&format!("exercise_{}_{what}", exercise.id), &needs, move || {
            let check = course::checks::find(&exercise.id).ok_or("it has no check.rs")?;
            let program = example(&exercise, &what)?;
            proof(&exercise, judgement(&exercise, check, &program))?;
            nothing_left(&program)
        })
    });
    trials.collect()
}

/// The words behind `needs:`, and what the sandbox itself takes. The slow machine is there
/// for what only a version 2 host can show.
pub fn needs(words: &[String]) -> Vec<Need> {
    let limits = words.iter().any(|word| ["limits", "v2"].contains(&&**word));
    let speed = (!limits).then_some(Need::Speed);
    let need = |word: &String| match word.as_str() {
        "root" => Some(Need::Root),
        "user" => Some(Need::User),
        "id ranges" => Some(Need::IdRanges),
        "limits" => Some(Need::Limits),
        "v2" => Some(Need::V2),
        "iproute2" => Some(Need::Program("ip")),
        "nftables" => Some(Need::Program("nft")),
        _ => None,
    };
    words.iter().filter_map(need).chain([Need::UserNamespaces]).chain(speed).collect()
}

pub fn judgement(exercise: &Exercise, check: Check, program: &Path) -> Judgement {
    judge_with(check, Path::new(X), &exercise.id, program)
}

/// Neither processes of the program, nor directories of the attempt, nor the lab's cgroup.
pub fn nothing_left(program: &Path) -> Result<(), Failed> {
    wait_until("all its processes are gone", Duration::from_secs(5), || left(program).is_empty())?;
    let parent = std::env::var_os("TMPDIR").map_or("/var/tmp".into(), PathBuf::from);
    let own = format!("dockster-attempt-{}-", std::process::id());
    if let Some(file) = exercise::files(&parent).iter().find(|file| name(file).starts_with(&own)) {
        return Err(format!("left behind: {}", file.display()).into());
    }
    // What a lab leaves when it is killed, `cargo x clean` finds.
    match course::clean::clean().removed.iter().find(|what| what.starts_with("cgroup")) {
        Some(cgroup) => Err(format!("left behind: {cgroup}").into()),
        None => Ok(()),
    }
}

/// The processes that run this program.
pub fn left(program: &Path) -> Vec<PathBuf> {
    let mut processes = exercise::files(Path::new("/proc"));
    processes.retain(|dir| std::fs::read_link(dir.join("exe")).is_ok_and(|exe| exe == program));
    processes
}

/// A program that cargo built of one of the exercise's files.
pub fn example(exercise: &Exercise, what: &str) -> Result<PathBuf, Failed> {
    let name = format!("{}-{what}", exercise.id.replace('.', "-"));
    built(&name)
}

/// An example among the programs beside this one.
pub fn built(example: &str) -> Result<PathBuf, Failed> {
    let program = programs().join("examples").join(example);
    match program.exists() {
        true => Ok(program),
        false => {
            Err(format!("{} is not built: cargo build --workspace --examples", program.display())
                .into())
        }
    }
}

/// Where cargo put the programs: this one lies in `deps` there.
pub fn programs() -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    own.ancestors().nth(2).expect("it lies in target/debug/deps").to_owned()
}

/// A starter is not done, or wrong; and nothing else is to blame.
pub fn red(_: &Exercise, judgement: Judgement) -> Result<(), Failed> {
    match judgement {
        Err(Verdict::NotDone(_) | Verdict::Wrong { .. }) => Ok(()),
        Ok(seen) => Err(format!("the starter passes: {seen}").into()),
        Err(host) => Err(format!("the starter is not judged: {host:?}").into()),
    }
}

/// A solution is right.
pub fn green(_: &Exercise, judgement: Judgement) -> Result<(), Failed> {
    match judgement {
        Ok(_) => Ok(()),
        Err(verdict) => Err(format!("the solution fails: {verdict:?}").into()),
    }
}

/// A wrong answer is called wrong, and there are hints for what was seen.
pub fn rejected(exercise: &Exercise, judgement: Judgement) -> Result<(), Failed> {
    match judgement {
        Err(Verdict::Wrong { hint, .. }) => match exercise.hints(hint)?.len() {
            0 => Err(format!("hints.md has no section {hint}").into()),
            _ => Ok(()),
        },
        Ok(seen) => Err(format!("the wrong answer passes: {seen}").into()),
        Err(verdict) => Err(format!("the wrong answer is not called wrong: {verdict:?}").into()),
    }
}
