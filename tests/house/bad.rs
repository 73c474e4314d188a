//! Each checker on a tree made for it: silent on a good one, and not on any bad one.

use std::fs;

use dockster_tests::{Failed, TempDir, Trial, trial};

use crate::{CHECKERS, rust};

/// A small house in which all is well.
const GOOD: [(&str, &str); 15] = [
    ("Cargo.toml", ""),
    ("Cargo.lock", ""),
    (".gitignore", ""),
    ("README.md", ""),
    ("LICENSE", ""),
    ("book/book.toml", ""),
    ("tests/Cargo.toml", ""),
    ("target/anything", ""),
    (
        "chapters/01-clone/Cargo.toml",
        "[dependencies]\nnix = \"1\"\n[dev-dependencies]\ndockster-tests = \"1\"\n",
    ),
    ("chapters/01-clone/src/lib.rs", "//! Not unsafe at all.\n#![deny(unsafe_code)]\nmod sys;\n"),
    (
        "chapters/01-clone/src/page.rs",
        "fn go() { step!(\n\"jump\", \"no unsafe { here }\", call()) }\n",
    ),
    ("chapters/01-clone/src/sys.rs", "unsafe fn f() {}\n"),
    (
        "chapters/03-cgroups/Cargo.toml",
        "[dependencies]\nch01-clone.workspace = true\nch02-chroot = { path = \"x\" }\n",
    ),
    ("chapters/03-cgroups/src/lib.rs", "#![forbid(unsafe_code)]\nuse ch01_clone::Plan;\n"),
    ("chapters/03-cgroups/src/main.rs", "use ch02_chroot::Root;\nuse ch03_cgroups::Limits;\n"),
];

/// What is changed, whose checker has to notice, and what it has to say.
const BAD: [(&str, &str, &str, &str); 15] = [
    // A file, its new content, the checker, a part of its complaint.
    ("notes.txt", "", "the_top", "notes.txt does not belong"),
    ("scripts/run", "", "the_top", "scripts does not belong"),
    ("LICENSE", GONE, "the_top", "LICENSE is missing"),
    ("chapters/08-more/Cargo.toml", "", "roads", "08-more is not in the drawing"),
    ("chapters/01-clone/src/up.rs", "use ch02_chroot::Root;\n", "roads", "up.rs uses ch02_"),
    ("chapters/03-cgroups/src/a.rs", "fn f() { ch02_chroot::x() }\n", "roads", "a.rs uses ch02_"),
    ("chapters/03-cgroups/src/main.rs", "use ch04_network::X;\n", "roads", "main.rs uses ch04_"),
    ("chapters/01-clone/Cargo.toml", "[dependencies.ch03-cgroups]\n", "roads", "depends on ch03"),
    ("chapters/03-cgroups/src/main.rs", "fn main() {}\n", "roads", "depends on ch02"),
    (
        "final/Cargo.toml",
        "[dependencies]\ndockster-tests = \"1\"\n",
        "nobody_imports",
        "depends on dockster-tests",
    ),
    (
        "chapters/03-cgroups/Cargo.toml",
        "[dependencies]\ndockster = \"1\"\n",
        "nobody_imports",
        "depends on dockster",
    ),
    ("chapters/01-clone/src/long.rs", LONG, "taught_files", "long.rs has 251 lines"),
    ("chapters/01-clone/src/lib.rs", LONG, "taught_files", "lib.rs has 251 lines"),
    (
        "chapters/01-clone/src/page.rs",
        "fn f() { unsafe { g() } }\n",
        "unsafe_lives",
        "page.rs has unsafe code",
    ),
    ("chapters/03-cgroups/src/lib.rs", "", "unsafe_lives", "lib.rs does not refuse"),
];

/// Content that means: the file is taken away.
const GONE: &str = "\0";
/// Content that means: one function in more lines than a page may have.
const LONG: &str = "\0\0";

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("a_good_tree_is_good", &[], a_good_tree),
        trial("many_short_files_are_too_long_together", &[], many_short_files),
        trial("comments_and_strings_are_no_code", &[], comments_and_strings),
    ];
    for (number, (file, text, checker, says)) in BAD.into_iter().enumerate() {
        let name = format!("bad_tree_{:02}_is_noticed_by_{checker}", number + 1);
        trials.push(trial(&name, &[], move || noticed(file, text, checker, says)));
    }
    trials
}

fn tree() -> Result<TempDir, Failed> {
    let dir = TempDir::new();
    for (file, text) in GOOD {
        put(&dir, file, text)?;
    }
    fs::create_dir(dir.join("final"))?;
    Ok(dir)
}

fn put(dir: &TempDir, file: &str, text: &str) -> Result<(), Failed> {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().expect("it lies in the tree"))?;
    match text {
        GONE => fs::remove_file(path)?,
        LONG => fs::write(path, "fn f() {\n".to_owned() + &"\n".repeat(249) + "}\n")?,
        text => fs::write(path, text)?,
    }
    Ok(())
}

fn a_good_tree() -> Result<(), Failed> {
    let dir = tree()?;
    for (name, checker) in CHECKERS {
        assert_eq!(checker(dir.path()), Vec::<String>::new(), "{name}");
    }
    // A whole catalogue may be long, and does not count.
    let catalogue = "//! Catalogue: not needed.\n".to_owned() + &"\n".repeat(2000);
    put(&dir, "chapters/01-clone/src/list.rs", &catalogue)?;
    put(&dir, "chapters/01-clone/src/main.rs", &"\n".repeat(1000))?;
    for (name, checker) in CHECKERS {
        assert_eq!(checker(dir.path()), Vec::<String>::new(), "{name}");
    }
    Ok(())
}

fn noticed(file: &str, text: &str, checker: &str, says: &str) -> Result<(), Failed> {
    let dir = tree()?;
    put(&dir, file, text)?;
    let found = CHECKERS.iter().find(|(name, _)| name.starts_with(checker));
    let (name, check) = found.ok_or("no such checker")?;
    let wrong = check(dir.path());
    assert!(wrong.iter().any(|line| line.contains(says)), "{name} says {wrong:?}");
    Ok(())
}

fn many_short_files() -> Result<(), Failed> {
    let dir = tree()?;
    for number in 0..4 {
        // What is there for the book alone does not count.
        let marks = "// ANCHOR: a\n// HOLE: 02.1\n// HOLE_END: 02.1\n    // ANCHOR_END: a\n";
        let text = marks.to_owned() + &"x\n".repeat(226);
        put(&dir, &format!("chapters/02-chroot/src/page-{number}.rs"), &text)?;
    }
    let (_, taught) = CHECKERS[3];
    assert_eq!(taught(dir.path()), ["chapters/02-chroot teaches 904 lines"]);
    Ok(())
}

fn comments_and_strings() -> Result<(), Failed> {
    let text = "a \"unsafe \\\" // b\" c // d\n\"over\nlines\" e '\"' f // \"\ng\n";
    let words: Vec<_> = rust::code(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["a", "c", "e", "'\"'", "f", "g"]);
    Ok(())
}
