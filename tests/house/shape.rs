//! Rooms and the roads between them.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{crates, entries, files, name, read, rust, shown};

/// What lies at the top. `target` is the build's, `mine` is the learner's own.
const TOP: [&str; 7] = ["Cargo.toml", "chapters", "final", "book", "tests", "README.md", "LICENSE"];

/// The top of the workspace is exactly this, beside Cargo.lock and dotfiles.
pub fn top(tree: &Path) -> Vec<String> {
    let here: BTreeSet<_> = entries(tree).iter().map(|path| name(path)).collect();
    let known =
        |n: &String| TOP.contains(&&**n) || ["Cargo.lock", "target", "mine"].contains(&&**n);
    let strange = here.iter().filter(|n| !known(n) && !n.starts_with('.'));
    let missing = TOP.into_iter().filter(|n| !here.contains(*n));
    let strange = strange.map(|n| format!("{n} does not belong at the top"));
    strange.chain(missing.map(|n| format!("{n} is missing at the top"))).collect()
}

/// Which chapters the library of each chapter may use.
const ROADS: [(&str, &[&str]); 7] = [
    ("01", &[]),
    ("02", &["01"]),
    ("03", &["01"]),
    ("04", &["01"]),
    ("05", &["01", "02", "03"]),
    ("06", &["01", "02"]),
    ("07", &["01"]),
];

/// A library uses what the drawing allows; a program may use all that is lower.
pub fn roads(tree: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for chapter in entries(&tree.join("chapters")) {
        let folder = name(&chapter);
        let number = folder.get(..2).unwrap_or("");
        let Some((_, allowed)) = ROADS.iter().find(|(n, _)| *n == number) else {
            wrong.push(format!("chapters/{folder} is not in the drawing"));
            continue;
        };
        let mut by_the_program = BTreeSet::new();
        for file in files(&chapter.join("src"), ".rs") {
            let used = chapters_in(&rust::code(&read(&file)), "_");
            let program = file == chapter.join("src/main.rs");
            for other in used.iter().filter(|other| *other != number) {
                let fine = allowed.contains(&&**other) || (program && other.as_str() < number);
                if !fine {
                    wrong.push(format!("{} uses ch{other}_", shown(tree, &file)));
                }
            }
            if program {
                by_the_program.extend(used);
            }
        }
        for other in chapters_in(&dependencies(&read(&chapter.join("Cargo.toml"))), "-") {
            if !allowed.contains(&&*other) && !by_the_program.contains(&other) {
                wrong.push(format!("chapters/{folder}/Cargo.toml depends on ch{other}"));
            }
        }
    }
    wrong
}

/// The numbers NN of all words that begin with `chNN` and this separator.
fn chapters_in(text: &str, separator: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'));
    words
        .filter_map(|word| word.strip_prefix("ch")?.split_once(separator))
        .filter(|(number, _)| number.len() == 2 && number.bytes().all(|b| b.is_ascii_digit()))
        .map(|(number, _)| number.to_owned())
        .collect()
}

/// The names in `[dependencies]`, a line each: what tests need is another matter.
fn dependencies(cargo_toml: &str) -> String {
    let mut inside = false;
    let mut names = String::new();
    for line in cargo_toml.lines() {
        if let Some(table) = line.trim().strip_prefix('[') {
            let table = table.trim_end_matches(']');
            inside = table == "dependencies" || table.ends_with(".dependencies");
            names += table.strip_prefix("dependencies.").unwrap_or("");
        } else if inside && !line.trim_start().starts_with('#') {
            names += line.split(['=', '.']).next().unwrap_or("").trim();
        }
        names.push('\n');
    }
    names
}

const TOP_FLOORS: [&str; 4] = ["dockster", "dockster-course", "dockster-press", "dockster-tests"];

/// No chapter and no part of final imports final, the book's crates or the tests.
pub fn imports_of_the_top(tree: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for dir in crates(tree) {
        let file = dir.join("Cargo.toml");
        for other in dependencies(&read(&file)).lines() {
            if TOP_FLOORS.contains(&other) {
                wrong.push(format!("{} depends on {other}", shown(tree, &file)));
            }
        }
    }
    wrong
}

/// The chapters whose pages teach their files.
const TAUGHT: [&str; 6] =
    ["01-clone", "02-chroot", "03-cgroups", "04-network", "05-lifecycle", "06-images"];
const LONGEST: usize = 250;
const TOGETHER: usize = 900;

/// What a reader reads is short. Not counted: the program, what is unsafe (`sys.rs`), the
/// table of contents (`lib.rs`, as long as it has no function), what is headed
/// `Catalogue:`, and the marks of excerpts and holes.
pub fn taught(tree: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for chapter in TAUGHT {
        let mut together = 0;
        for file in files(&tree.join("chapters").join(chapter).join("src"), ".rs") {
            let text = read(&file);
            let contents = name(&file) == "lib.rs" && !rust::code(&text).contains("fn ");
            let aside = contents || ["main.rs", "sys.rs"].contains(&&*name(&file));
            if aside || text.starts_with("//! Catalogue:") {
                continue;
            }
            let lines = text.lines().filter(|line| !is_mark(line)).count();
            together += lines;
            if lines > LONGEST {
                wrong.push(format!("{} has {lines} lines", shown(tree, &file)));
            }
        }
        if together > TOGETHER {
            wrong.push(format!("chapters/{chapter} teaches {together} lines"));
        }
    }
    wrong
}

/// `// ANCHOR: name` and its like: for the book, and never shown.
fn is_mark(line: &str) -> bool {
    let comment = line.trim().strip_prefix("// ").unwrap_or("");
    ["ANCHOR: ", "ANCHOR_END: ", "HOLE: ", "HOLE_END: "].iter().any(|m| comment.starts_with(m))
}
