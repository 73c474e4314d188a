//! Each checker on a tree made for it: silent on a good one, and not on any bad one.

use std::fs;

use dockster_tests::{Failed, TempDir, Trial, trial};

use crate::{CHECKERS, rust};

/// A small house in which all is well.
const GOOD: [(&str, &str); 16] = [
    ("Cargo.toml", ""),
    ("Cargo.lock", ""),
    (".gitignore", ""),
    ("README.md", ""),
    ("LICENSE", ""),
    ("tests/Cargo.toml", ""),
    ("target/anything", ""),
    (
        "chapters/01-clone/Cargo.toml",
        "[dependencies]\nnix = \"1\"\n[dev-dependencies]\ndockster-tests = \"1\"\n",
    ),
    ("chapters/01-clone/src/lib.rs", "//! Not unsafe at all.\n#![deny(unsafe_code)]\nmod sys;\n"),
    (
        "chapters/01-clone/src/page.rs",
        "// ANCHOR: go\nfn go() { step!(\n\"jump\", \"no unsafe { here }\", call()) }\n// ANCHOR_END: go\n/// `step!(\"not-one\")`\n",
    ),
    ("chapters/01-clone/src/sys.rs", "unsafe fn f() {}\n"),
    (
        "chapters/03-cgroups/Cargo.toml",
        "[dependencies]\nch01-clone.workspace = true\nch02-chroot = { path = \"x\" }\n",
    ),
    ("chapters/03-cgroups/src/lib.rs", "#![forbid(unsafe_code)]\nuse ch01_clone::Plan;\n"),
    ("chapters/03-cgroups/src/main.rs", "use ch02_chroot::Root;\nuse ch03_cgroups::Limits;\n"),
    ("book/src/SUMMARY.md", "# Summary\n\n- [One](01-clone.md)\n"),
    (
        "book/src/01-clone.md",
        "# One\n\n[down](#jump) [source](../../chapters/01-clone/src/page.rs) [out](https://a.b/c)\n\n\
         ## jump\n\n[jump(2)](https://man7.org/x) **Why here.** **See it yourself.** **What goes wrong.**\n\n\
         ```rust,ignore\n{{#include ../../chapters/01-clone/src/page.rs:go}}\n```\n\n\
         ```sh\n# [no](link.md)\n```\n",
    ),
];

/// What is changed, whose checker has to notice, and what it has to say.
const BAD: [(&str, &str, &str, &str); 24] = [
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
    (
        "final/src/main.rs",
        "#![forbid(unsafe_code)]\nstep!(\"land\")\n",
        "every_step",
        "no heading \"land\"",
    ),
    ("book/src/01-clone.md", "# One\n\n```\n## jump\n```\n", "every_step", "no heading \"jump\""),
    (
        "book/src/01-clone.md",
        "# One\n\n## jump\n\nman7.org\n",
        "every_section",
        "jump lacks \"**Why here.**\"",
    ),
    (
        "book/src/01-clone.md",
        "# One\n\n## jump\n\n[x](02-chroot.md)\n",
        "every_link",
        "02-chroot.md leads nowhere",
    ),
    ("book/src/01-clone.md", "# One\n\n[x](#fly)\n", "every_link", "#fly is no heading"),
    ("book/src/extra.md", "# Extra\n", "every_link", "extra.md is not in the summary"),
    (
        "book/src/01-clone.md",
        "```rust\nfn main() {}\n```\n",
        "all_rust",
        "01-clone.md:2: Rust typed by hand",
    ),
    (
        "book/src/01-clone.md",
        "```rust\n{{#include ../../chapters/01-clone/src/page.rs:gone}}\n```\n",
        "all_rust",
        "there is no",
    ),
    (
        "book/src/01-clone.md",
        "```rust\n{{#include ../../chapters/01-clone/src/page.rs}}\n```\n",
        "all_rust",
        "has no anchor",
    ),
];

/// Content that means: the file is taken away.
const GONE: &str = "\0";
/// Content that means: one function in more lines than a page may have.
const LONG: &str = "\0\0";

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("a_good_tree_is_good", &[], a_good_tree),
        trial("many_short_files_are_too_long_together", &[], many_short_files),
        trial("an_open_block_is_noticed", &[], || {
            noticed("book/src/01-clone.md", "# One\n\n```sh\nls\n", "all_rust", "has no end")
        }),
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
        put(&dir, &format!("chapters/02-chroot/src/page-{number}.rs"), &"x\n".repeat(226))?;
    }
    let (_, taught) = CHECKERS[3];
    assert_eq!(taught(dir.path()), ["chapters/02-chroot teaches 904 lines"]);
    Ok(())
}

fn comments_and_strings() -> Result<(), Failed> {
    let text = "a \"unsafe \\\" // b\" c // d\n\"over\nlines\" e '\"' f // \"\ng\n";
    let words: Vec<_> = rust::code(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["a", "c", "e", "'\"'", "f", "g"]);
    assert_eq!(
        rust::steps("step!(\n  \"x-y\", step!(\"z\", // step!(\"k\")\n// step!(\"n\")"),
        ["x-y", "z", "k"]
    );
    Ok(())
}
