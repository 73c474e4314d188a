//! Every rung shows what its first lines say: its failure.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use course::rung::{self, Rung};
use dockster_tests::{Failed, Run, TempDir, Trial, source_dir, trial};

use crate::exercises::{X, built, needs, programs};

pub fn trials() -> Vec<Trial> {
    let all = rung::all(source_dir()).unwrap_or_default();
    let mut trials: Vec<_> = all
        .into_iter()
        .map(|rung| {
            let needs = needs(&rung.needs);
            trial(&format!("rung_{}_shows_its_failure", rung.id), &needs, move || {
                shows(&rung, &built(&rung.example())?)
            })
        })
        .collect();
    if let Some(rung) = rung::all(source_dir()).unwrap_or_default().into_iter().next() {
        let needs = needs(&rung.needs);
        trials.push(trial("cargo_x_rung_runs_it", &needs, move || {
            let typed: String = rung.types.iter().map(|line| format!("{line}\n")).collect();
            let run = Run::new(X).args(["rung", &rung.id]).dir(source_dir()).input(typed);
            let done = run.env("DOCKSTER_PROGRAMS", programs()).done()?;
            let said = format!("{}\n{}", done.stdout, done.stderr);
            assert!(said.contains(&rung.shows[0]), "{said}");
            Ok(())
        }));
    }
    trials.push(trial("a_rung_that_fails_as_it_says", &[], || {
        shows(&made_up(), &script("read line; echo \"told $line\"; echo EPERM >&2; exit 1")?.1)
    }));
    trials.push(trial("a_rung_that_does_not_fail_is_noticed", &[], || {
        let (_dir, program) = script("read line; echo told $line")?;
        let error = shows(&made_up(), &program).err().ok_or("nothing was noticed")?;
        assert!(format!("{error:?}").contains("does not show EPERM"), "{error:?}");
        Ok(())
    }));
    trials
}

/// Types what it is to be told, and looks for all that it is to show.
fn shows(rung: &Rung, program: &Path) -> Result<(), Failed> {
    let typed: String = rung.types.iter().map(|line| format!("{line}\n")).collect();
    let done = Run::new(program).input(typed).done()?;
    let said = format!("{}\n{}", done.stdout, done.stderr);
    match rung.shows.iter().find(|text| !said.contains(text.as_str())) {
        Some(missing) => Err(done.failed(&format!("it does not show {missing}"))),
        None => Ok(()),
    }
}

fn made_up() -> Rung {
    Rung {
        id: "90.1".into(),
        chapter: "90-made-up".into(),
        file: "rung-1.rs".into(),
        title: "a made-up one".into(),
        types: vec!["me".into()],
        shows: vec!["told me".into(), "EPERM".into()],
        needs: Vec::new(),
    }
}

/// A program of one line, for as long as its directory lives.
pub fn script(text: &str) -> Result<(TempDir, PathBuf), Failed> {
    let dir = TempDir::new();
    let program = dir.join("script");
    fs::write(&program, format!("#!/bin/sh\n{text}\n"))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok((dir, program))
}
