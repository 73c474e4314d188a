//! Each checker on a tree made for it: silent on a good one, and not on any bad one.

use std::fs;

use dockster_tests::{Failed, TempDir, Trial, trial};

use crate::shape::CHECKERS;

const CHAPTER: &str = "chapters/90-made";

/// A small house in which all is well: a hole, and three programs.
const GOOD: [(&str, &str); 7] = [
    ("book/src/90-made/page.md", "# Page\n"),
    ("tests/made/main.rs", "trial(\"it_adds\")\n"),
    ("chapters/90-made/src/add.rs", SOURCE),
    ("chapters/90-made/examples/rung-1.rs", RUNG),
    ("chapters/90-made/without/sum.patch", PATCH),
    ("chapters/90-made/without/sum-again.patch", PATCH),
    ("chapters/90-made/exercises/1-hole/wrong-zero.rs", "    0\n"),
];

const SOURCE: &str = "fn add(a: i32, b: i32) -> i32 {\n    // HOLE: 90.1\n    let a = a;\n    \
                      let b = b;\n    let c = a + b;\n    // It is done.\n    c\n    \
                      // HOLE_END: 90.1\n}\n";

const RUNG: &str = "//! Rung 1: a try.\n//! Types: ps\n//! Shows: EPERM\n\nfn main() {}\n";

const PATCH: &str = "What: the sum\nTest: made it_adds\nRun: -- 2 3\n\n\
                     --- a/chapters/90-made/src/add.rs\n+++ b/chapters/90-made/src/add.rs\n\
                     @@ -5,1 +5,1 @@\n-    let c = a + b;\n+    let c = a - b;\n";

const HINTS: &str = "1. What?\n2. That.\n3. Nearly\n   this.\n";

const README: &str = "# Title\nlane: LANE\nminutes: 20\nneeds: none\npage: 90-made/page\n\n";

/// What is changed, whose checker has to notice, and what it has to say.
const BAD: [(&str, &str, &str, &str); 31] = [
    // A file, what is changed in it (nothing: it goes) and to what, a part of the complaint.
    ("exercises/2-two/README.md", "lane: core => lane: easy", "exercise", "90.2 is in no lane"),
    ("exercises/2-two/README.md", "lane: core => lane core", "exercise", "is no key"),
    ("exercises/2-two/README.md", "lane: core\n => ", "exercise", "lacks the line \"lane"),
    ("exercises/2-two/README.md", "minutes: 20 => minutes: 0", "exercise", "takes 0 minutes"),
    ("exercises/2-two/README.md", "needs: none => needs: luck", "exercise", "needs luck"),
    ("exercises/2-two/README.md", "/page => /gone", "exercise", "no such page"),
    ("exercises/2-two/README.md", "Do it. => ", "exercise", "has no task"),
    ("exercises/2-two/README.md", "Do it. => LONG", "exercise", "a task of 201 words"),
    ("exercises/2-two/README.md", "", "exercise", "README.md"),
    ("exercises/1-hole/README.md", "tests: adds => tests:  none", "exercise", "no line tests"),
    ("exercises/1-hole/wrong-zero.rs", "", "exercise", "90.1 has no wrong answer"),
    ("exercises/2-two/wrong-way.rs", "", "exercise", "90.2 has no wrong answer"),
    ("exercises/2-two/check.rs", "", "exercise", "90.2 lacks check.rs"),
    ("exercises/2-two/starter.rs", "", "exercise", "starter.rs has 0 lines"),
    ("exercises/2-two/solution.rs", "{} => LINES", "exercise", "solution.rs has 61 lines"),
    ("Cargo.toml", "90-2-solution => other", "exercise", "has no example \"90-2-solution\""),
    ("exercises/2-two/hints.md", "3. => -", "every_hint", "has 2 hints"),
    ("exercises/2-two/hints.md", "What? => That.", "every_hint", "begin with a question"),
    ("exercises/2-two/hints.md", "## no-map => ## map", "every_hint", "no section no-map"),
    ("exercises/1-hole/hints.md", "## wrong => ## bad", "every_hint", "90.1: hints.md has no"),
    ("src/add.rs", "// HOLE_END: 90.1 => //", "every_hole", "hole 90.1 has no end"),
    ("src/add.rs", "// HOLE: 90.1 => //", "every_hole", "are not a pair"),
    ("src/add.rs", "    // It is done.\n => ", "every_hole", "its hole has 4 lines"),
    ("exercises/4-four/README.md", "", "every_chapter", "90-made has 3 exercises"),
    ("exercises/3-three/README.md", "stretch => core", "every_chapter", "in the lane stretch"),
    ("examples/rung-1.rs", "{} => LINES", "every_rung", "rung-1.rs has 65 lines"),
    ("examples/rung-1.rs", "Shows: => Says:", "every_rung", "shows no failure"),
    ("examples/rung-1.rs", "{} => { ch01_clone::x() }", "every_rung", "uses ch0"),
    ("without/sum.patch", "= a + b => = a * b", "every_patch", "does not apply"),
    ("without/sum.patch", "made it_adds => math it_adds", "every_patch", "there is no suite math"),
    ("without/sum.patch", "", "every_patch", "90-made has 1 patches"),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("good_exercises_are_good", &[], || {
            let dir = tree()?;
            for (name, checker) in CHECKERS {
                assert_eq!(checker(dir.path()), Vec::<String>::new(), "{name}");
            }
            Ok(())
        }),
        trial("a_patch_of_many_lines_is_noticed", &[], || {
            let many = format!("-    let c = a + b;\n{}", "+    let c = 0;\n".repeat(15));
            let change = format!("-    let c = a + b;\n+    let c = a - b;\n => {many}");
            noticed("without/sum.patch", &change, "every_patch", "90.sum changes 16 lines")
        }),
    ];
    for (number, (file, change, checker, says)) in BAD.into_iter().enumerate() {
        let name = format!("bad_exercises_{:02}_{checker}", number + 1);
        trials.push(trial(&name, &[], move || noticed(file, change, checker, says)));
    }
    trials
}

fn noticed(file: &str, change: &str, checker: &str, says: &str) -> Result<(), Failed> {
    let dir = tree()?;
    let path = dir.join(CHAPTER).join(file);
    match change.split_once(" => ") {
        None => fs::remove_file(&path)?,
        Some((old, new)) => {
            let new = match new {
                "LONG" => "word ".repeat(201),
                "LINES" => "{\n".to_owned() + &"\n".repeat(59) + "}",
                new => new.to_owned(),
            };
            let text = fs::read_to_string(&path)?;
            assert!(text.contains(old), "{file} has no {old:?}");
            fs::write(&path, text.replace(old, &new))?;
        }
    }
    let found = CHECKERS.iter().filter(|(name, _)| name.contains(checker));
    let wrong: Vec<_> = found.flat_map(|(_, check)| check(dir.path())).collect();
    assert!(wrong.iter().any(|line| line.contains(says)), "{wrong:?} lacks {says:?}");
    Ok(())
}

fn tree() -> Result<TempDir, Failed> {
    let dir = TempDir::new();
    for (file, text) in GOOD {
        put(&dir, file, text)?;
    }
    let mut manifest =
        "[[test]]\nname = \"made\"\n\n[[example]]\nname = \"90-rung-1\"\n".to_owned();
    let hole = README.replace("LANE", "core").replace("page\n\n", "page\ntests: adds\n\nDo it.\n");
    put(&dir, &format!("{CHAPTER}/exercises/1-hole/README.md"), &hole)?;
    let hints = format!("## not-done\n{HINTS}\n## wrong\n{HINTS}");
    put(&dir, &format!("{CHAPTER}/exercises/1-hole/hints.md"), &hints)?;
    for (folder, lane) in [("2-two", "core"), ("3-three", "stretch"), ("4-four", "design")] {
        let own = format!("{CHAPTER}/exercises/{folder}");
        let readme = README.replace("LANE", lane) + "Do it.\n";
        put(&dir, &format!("{own}/README.md"), &readme)?;
        put(&dir, &format!("{own}/hints.md"), &hints.replace("## wrong", "## no-map"))?;
        put(&dir, &format!("{own}/check.rs"), "wrong(\n  \"no-map\", x)\n")?;
        for program in ["starter", "solution", "wrong-way"] {
            put(&dir, &format!("{own}/{program}.rs"), "fn main() {}\n")?;
            manifest += &format!("[[example]]\nname = \"90-{}-{program}\"\n", &folder[..1]);
        }
    }
    put(&dir, &format!("{CHAPTER}/Cargo.toml"), &manifest)?;
    Ok(dir)
}

fn put(dir: &TempDir, file: &str, text: &str) -> Result<(), Failed> {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().ok_or("it lies in the tree")?)?;
    fs::write(path, text)?;
    Ok(())
}
