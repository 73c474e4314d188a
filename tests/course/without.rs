//! Every patch takes out something that matters: it applies, the chapter builds, and the
//! test that it names fails then, and only then.

use std::fs;
use std::time::Duration;

use course::without::{self, Piece};
use dockster_tests::{Failed, Run, TempDir, Trial, source_dir};

use crate::exercises::{X, needs};
use crate::house::{House, building};

pub fn trials() -> Vec<Trial> {
    let all = without::all(source_dir()).unwrap_or_default();
    let mut trials = Vec::new();
    // All that is whole first: then cargo builds each chapter only once for it.
    for piece in &all {
        let (needs, piece) = (needs(&piece.needs), piece.clone());
        trials.push(building(&format!("with_{}_its_test_passes", piece.id), &needs, move || {
            passes(&House::copy()?, &piece)
        }));
    }
    for piece in all {
        trials.push(building(
            &format!("without_{}_its_test_fails", piece.id),
            &needs(&piece.needs),
            move || {
                let house = House::copy()?;
                let result = fails(&house, &piece);
                House::copy()?;
                result
            },
        ));
    }
    if let Ok(Some(piece)) = without::all(source_dir()).map(|all| all.into_iter().next()) {
        trials.push(building(
            "cargo_x_without_shows_and_runs_it",
            &needs(&piece.needs),
            move || {
                let house = House::copy()?;
                let limit = Duration::from_secs(300);
                let run = Run::new(X).args(["without", &piece.id]).dir(&house.tree).limit(limit);
                let done = run.done()?;
                done.says(&format!("without:  {}", piece.what))?.says(piece.changes()[0])?;
                done.says(&format!("run:      {} ", piece.chapter))?;
                Ok(())
            },
        ));
    }
    trials.push(building("made_up_patches_are_seen_through", &[], made_up_patches));
    trials
}

/// In the whole house the test is there, runs here, and passes.
fn passes(house: &House, piece: &Piece) -> Result<(), Failed> {
    let (sum, said) = house.test(piece)?;
    match (sum.passed, sum.ignored, sum.failed.len()) {
        (1, 0, 0) => Ok(()),
        (0, 0, 0) => Err(format!("there is no test {:?}", piece.test).into()),
        (0, 1, 0) => {
            Err(format!("it is not run here: the patch lacks a line Needs:\n{said}").into())
        }
        _ => Err(format!("it does not pass unpatched:\n{said}").into()),
    }
}

/// Without the piece it fails.
fn fails(house: &House, piece: &Piece) -> Result<(), Failed> {
    piece.apply(&house.tree)?;
    let (sum, said) = house.test(piece)?;
    match (sum.passed, sum.failed.len()) {
        (0, 1) => Ok(()),
        (1, 0) => Err(format!("{} breaks nothing: its test passes", piece.id).into()),
        _ => Err(format!("its test is not run:\n{said}").into()),
    }
}

/// A house of one small room.
const MADE_UP: [(&str, &str); 3] = [
    ("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"chapters/*\"]\n"),
    (
        "chapters/90-made/Cargo.toml",
        "[package]\nname = \"ch90-made\"\nedition = \"2024\"\n\n\
         [[test]]\nname = \"made\"\npath = \"tests.rs\"\n",
    ),
    (
        "chapters/90-made/tests.rs",
        "#[test]\nfn adds() {\n    assert_eq!(ch90_made::add(2, 3), 5);\n}\n",
    ),
];

const SOURCE: &str = "/// The sum.\npub fn add(a: i32, b: i32) -> i32 {\n    a + b\n}\n";

fn made_up_patches() -> Result<(), Failed> {
    let dir = TempDir::new();
    let house = House::at(dir.path());
    for (file, text) in MADE_UP {
        let file = dir.join(file);
        fs::create_dir_all(file.parent().ok_or("it lies in a folder")?)?;
        fs::write(file, text)?;
    }
    fs::create_dir(dir.join("chapters/90-made/src"))?;
    let fresh = || fs::write(dir.join("chapters/90-made/src/lib.rs"), SOURCE);
    let says = |result: Result<(), Failed>, text: &str| {
        let error = format!("{:?}", result.err());
        assert!(error.contains(text), "{error} lacks {text:?}");
    };

    fresh()?;
    let good = piece("a + b", "a - b", "adds");
    passes(&house, &good)?;
    fails(&house, &good)?;
    says(passes(&house, &good), "does not pass unpatched");
    // The source is another one now.
    says(fails(&house, &good), "does not apply");
    fresh()?;
    says(fails(&house, &piece("a + b", "b + a", "adds")), "breaks nothing");
    fresh()?;
    says(fails(&house, &piece("a + b", "a +", "adds")), "does not build");
    fresh()?;
    says(passes(&house, &piece("a + b", "a - b", "adds_up")), "there is no test");
    Ok(())
}

/// A patch of one line.
fn piece(old: &str, new: &str, test: &str) -> Piece {
    let file = "chapters/90-made/src/lib.rs";
    Piece {
        id: "90.sum".into(),
        chapter: "90-made".into(),
        what: "the sum".into(),
        test: ("made".into(), test.into()),
        needs: Vec::new(),
        run: Vec::new(),
        diff: format!(
            "--- a/{file}\n+++ b/{file}\n@@ -1,4 +1,4 @@\n /// The sum.\n \
             pub fn add(a: i32, b: i32) -> i32 {{\n-    {old}\n+    {new}\n }}\n"
        ),
    }
}
