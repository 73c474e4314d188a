//! What exercises, rungs and patches look like from outside: a function each over a
//! source tree, that returns what is wrong, a line each. `bad` shows that each notices.

use std::fs;
use std::path::{Path, PathBuf};

use course::exercise::{self, Exercise, files, name};
use course::{hole, needs, rung, without};
use dockster_tests::{Failed, Trial, source_dir, trial};

/// Looks at a source tree; what is wrong with it.
pub type Checker = fn(&Path) -> Vec<String>;

pub const CHECKERS: [(&str, Checker); 6] = [
    ("every_exercise_is_whole", exercises),
    ("every_hint_is_there", hints),
    ("every_hole_is_one_body", holes),
    ("every_chapter_has_enough_to_do", chapters),
    ("every_rung_is_short", rungs),
    ("every_patch_is_short_and_applies", patches),
];

pub fn trials() -> Vec<Trial> {
    let on_the_house = CHECKERS.iter().map(|&(name, checker)| {
        trial(name, &[], move || {
            let wrong = checker(source_dir());
            if wrong.is_empty() { Ok(()) } else { Err(Failed::from(wrong.join("\n"))) }
        })
    });
    on_the_house.collect()
}

/// The folders of exercises.
fn folders(tree: &Path) -> Vec<PathBuf> {
    let chapters = files(&tree.join("chapters"));
    let inside = chapters.iter().flat_map(|chapter| files(&chapter.join("exercises")));
    inside.filter(|path| path.is_dir()).collect()
}

/// Those that can be read; what is wrong with the others `exercises` says.
fn readable(tree: &Path) -> Vec<Exercise> {
    folders(tree).iter().filter_map(|dir| exercise::read(dir).ok()).collect()
}

fn exercises(tree: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for dir in folders(tree) {
        match exercise::read(&dir) {
            Err(error) => wrong.push(format!("{}: {error:#}", shown(tree, &dir))),
            Ok(exercise) => {
                let all = described(tree, &exercise).into_iter().chain(programs(&exercise));
                wrong.extend(all.map(|what| format!("{} {what}", exercise.id)));
            }
        }
    }
    wrong
}

/// What its README.md says.
fn described(tree: &Path, exercise: &Exercise) -> Vec<String> {
    let Exercise { lane, minutes, page, task, .. } = exercise;
    let mut wrong = Vec::new();
    if !["core", "stretch", "design"].contains(&lane.as_str()) {
        wrong.push(format!("is in no lane: {lane}"));
    }
    if !(1..=90).contains(minutes) {
        wrong.push(format!("takes {minutes} minutes"));
    }
    for need in exercise.needs.iter().filter(|need| !needs::WORDS.contains(&need.as_str())) {
        wrong.push(format!("needs {need}, which nobody knows"));
    }
    if !tree.join("book/src").join(format!("{page}.md")).exists() {
        wrong.push(format!("has no such page: {page}"));
    }
    match task.split_whitespace().count() {
        0 => wrong.push("has no task".into()),
        words @ 201.. => wrong.push(format!("has a task of {words} words")),
        _ => {}
    }
    if exercise.is_hole() && exercise.tests.is_empty() {
        wrong.push("has no line tests:".into());
    }
    wrong
}

/// The files beside it, and that cargo knows them.
fn programs(exercise: &Exercise) -> Vec<String> {
    let mut wrong = Vec::new();
    let others = exercise.wrong_answers();
    if others.is_empty() {
        wrong.push("has no wrong answer".into());
    }
    if exercise.is_hole() {
        return wrong;
    }
    if !exercise.dir.join("check.rs").exists() {
        wrong.push("lacks check.rs".into());
    }
    let manifest = read(&exercise.chapter_dir().join("Cargo.toml"));
    let own = ["starter.rs", "solution.rs"].map(|file| exercise.dir.join(file));
    for file in own.into_iter().chain(others) {
        let lines = read(&file).lines().count();
        if lines == 0 || lines > 60 {
            wrong.push(format!("{} has {lines} lines", name(&file)));
        }
        let stem = name(&file).trim_end_matches(".rs").to_owned();
        let example = format!("\"{}-{stem}\"", exercise.id.replace('.', "-"));
        if !manifest.contains(&example) {
            wrong.push(format!("has no example {example} in its chapter's Cargo.toml"));
        }
    }
    wrong
}

/// Three in each section, the first a question; and a section for all that is told apart.
fn hints(tree: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for exercise in readable(tree) {
        let id = &exercise.id;
        let sections = exercise::hints(&read(&exercise.dir.join("hints.md")));
        for (section, hints) in &sections {
            if hints.len() != 3 {
                wrong.push(format!("{id}: {section} has {} hints", hints.len()));
            }
            if !hints.first().is_some_and(|hint| hint.contains('?')) {
                wrong.push(format!("{id}: {section} does not begin with a question"));
            }
        }
        let mut needed = vec!["not-done".to_owned()];
        match exercise.is_hole() {
            true => needed.push("wrong".into()),
            false => needed.extend(told_apart(&read(&exercise.dir.join("check.rs")))),
        }
        for section in needed {
            if !sections.iter().any(|(name, _)| *name == section) {
                wrong.push(format!("{id}: hints.md has no section {section}"));
            }
        }
    }
    wrong
}

/// The first argument of each `wrong(`.
fn told_apart(check: &str) -> Vec<String> {
    let calls = check.split("wrong(").skip(1);
    let names = calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next());
    names.map(str::to_owned).collect()
}

fn holes(tree: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for exercise in readable(tree).iter().filter(|exercise| exercise.is_hole()) {
        let id = &exercise.id;
        match hole::of(exercise.chapter_dir(), id) {
            Err(error) => wrong.push(format!("{id}: {error:#}")),
            Ok((_, hole)) => {
                let lines = hole.body.lines().count();
                if !(5..=15).contains(&lines) {
                    wrong.push(format!("{id}: its hole has {lines} lines"));
                }
            }
        }
        if let Err(error) = hole::suite(exercise) {
            wrong.push(format!("{id}: {error:#}"));
        }
    }
    wrong
}

fn chapters(tree: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for chapter in files(&tree.join("chapters")) {
        let dirs = files(&chapter.join("exercises"));
        if dirs.is_empty() {
            continue;
        }
        let chapter = name(&chapter);
        let own: Vec<_> =
            readable(tree).into_iter().filter(|exercise| exercise.chapter == chapter).collect();
        if own.len() < 4 {
            wrong.push(format!("{chapter} has {} exercises", own.len()));
        }
        for lane in ["core", "stretch", "design"] {
            if !own.iter().any(|exercise| exercise.lane == lane) {
                wrong.push(format!("{chapter} has no exercise in the lane {lane}"));
            }
        }
        for (number, exercise) in own.iter().enumerate() {
            if !exercise.id.ends_with(&format!(".{}", number + 1)) {
                wrong.push(format!("{chapter} counts its exercises wrongly at {}", exercise.id));
            }
        }
    }
    wrong
}

fn rungs(tree: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for chapter in files(&tree.join("chapters")) {
        let examples = files(&chapter.join("examples"));
        if examples.len() > 3 {
            wrong.push(format!("{} has {} rungs", name(&chapter), examples.len()));
        }
        let manifest = read(&chapter.join("Cargo.toml"));
        for file in examples {
            let path = shown(tree, &file);
            let rung = match rung::read(&file) {
                Ok(rung) => rung,
                Err(error) => {
                    wrong.push(format!("{error:#}"));
                    continue;
                }
            };
            let text = read(&file);
            let lines = text.lines().count();
            if lines > 25 {
                wrong.push(format!("{path} has {lines} lines"));
            }
            if rung.shows.is_empty() {
                wrong.push(format!("{path} shows no failure"));
            }
            if let Some(library) = ["ch0", "checkpoint"].iter().find(|name| text.contains(*name)) {
                wrong.push(format!("{path} uses {library}"));
            }
            if !manifest.contains(&format!("\"{}\"", rung.example())) {
                wrong.push(format!("{path} is no example {} of its chapter", rung.example()));
            }
        }
    }
    wrong
}

fn patches(tree: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for chapter in files(&tree.join("chapters")) {
        let patches = files(&chapter.join("without"));
        if !patches.is_empty() && !(2..=4).contains(&patches.len()) {
            wrong.push(format!("{} has {} patches", name(&chapter), patches.len()));
        }
        for file in patches {
            wrong.extend(match without::read(&file) {
                Ok(piece) => patch(tree, &piece),
                Err(error) => vec![format!("{error:#}")],
            });
        }
    }
    wrong
}

fn patch(tree: &Path, piece: &without::Piece) -> Vec<String> {
    let mut wrong = Vec::new();
    let (suite, _) = &piece.test;
    let lines = piece.changes().len();
    if lines == 0 || lines > 15 {
        wrong.push(format!("{} changes {lines} lines", piece.id));
    }
    let own = Path::new("chapters").join(&piece.chapter);
    if piece.files().iter().any(|file| !file.starts_with(&own)) {
        wrong.push(format!("{} changes what is not its chapter's", piece.id));
    }
    if let Err(error) = piece.patched(tree) {
        wrong.push(format!("{}: {error:#}", piece.id));
    }
    if !tree.join("tests").join(suite).join("main.rs").exists() {
        wrong.push(format!("{}: there is no suite {suite}", piece.id));
    }
    wrong
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

/// A path as it reads in a sentence: from the top of the tree on.
fn shown(tree: &Path, path: &Path) -> String {
    path.strip_prefix(tree).unwrap_or(path).display().to_string()
}
