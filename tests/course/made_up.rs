//! A made-up exercise, and that each proof about exercises fails where it should.

use std::path::Path;
use std::time::Duration;

use course::exercise::{self, Exercise};
use course::judge::{Attempt, Judgement, Verdict, judge_with, look};
use dockster_tests::{Failed, Need, Trial, find_program, trial, wait_until};

use crate::exercises::{Proof, built, green, judgement, left, nothing_left, red, rejected};
use crate::rungs::script;

#[path = "fixtures/chapters/90-made-up/exercises/2-own-name/check.rs"]
mod check;

/// What is said of the exercise, the program it is said of, and whether that is true.
const CLAIMS: [(&str, Proof, &str, &str); 8] = [
    ("a_starter_that_is_red", red, "starter", ""),
    ("a_solution_that_is_right", green, "solution", ""),
    ("a_wrong_answer_that_is_rejected", rejected, "wrong-mounts", ""),
    ("a_starter_that_passes", red, "solution", "the starter passes"),
    ("a_solution_that_is_not_done", green, "starter", "the solution fails: NotDone"),
    ("a_solution_that_is_wrong", green, "wrong-mounts", "the solution fails: Wrong"),
    ("a_wrong_answer_that_passes", rejected, "solution", "the wrong answer passes"),
    ("a_wrong_answer_not_called_wrong", rejected, "starter", "is not called wrong"),
];

const NS: Need = Need::UserNamespaces;

pub fn trials() -> Vec<Trial> {
    let claims = CLAIMS.into_iter().map(|(name, proof, program, says)| {
        trial(&format!("made_up_{name}"), &[NS], move || {
            let result = proof(&made_up()?, judged(program)?);
            match (result, says) {
                (Ok(()), "") => Ok(()),
                (Ok(()), _) => Err("nothing was noticed".into()),
                (Err(error), "") => Err(error),
                (Err(error), says) if format!("{error:?}").contains(says) => Ok(()),
                (Err(error), _) => Err(format!("another complaint: {error:?}").into()),
            }
        })
    });
    let mut trials: Vec<_> = claims.collect();
    trials.push(trial("made_up_a_starter_that_only_the_host_stops", &[], || {
        let host = Verdict::Host { because: "b".into(), cure: "c".into() };
        assert!(red(&made_up()?, Err(host)).is_err());
        Ok(())
    }));
    trials.push(trial("made_up_a_wrong_answer_without_hints", &[], || {
        let wrong = course::judge::wrong("no-such", "o", "e", "l");
        assert!(rejected(&made_up()?, Err(wrong)).is_err());
        Ok(())
    }));
    trials.push(trial("made_up_points_are_passed_one_by_one", &[NS], || {
        let program = built("90-points")?;
        judgement(&made_up()?, points, &program).map_err(|verdict| format!("{verdict:?}"))?;
        nothing_left(&program)
    }));
    trials.push(trial(
        "made_up_a_point_never_reached_says_where_it_stands",
        &[NS, Need::Speed],
        || {
            let program = built("90-points")?;
            match judgement(&made_up()?, never, &program) {
                Err(Verdict::NotDone(text)) if text.contains("stands at \"here\" and \"here\"") => {
                    nothing_left(&program)
                }
                other => Err(format!("{other:?}").into()),
            }
        },
    ));
    trials.push(trial("made_up_a_sandbox_that_fails_is_not_their_fault", &[], || {
        let (_dir, x) = script("echo 'cargo x: no namespaces here' >&2; exit 125")?;
        match judge_with(check::check, &x, "90.2", &built("90-2-solution")?) {
            Err(Verdict::Host { because, .. }) if because.contains("no namespaces here") => Ok(()),
            other => Err(format!("{other:?}").into()),
        }
    }));
    trials.push(trial("made_up_a_program_that_stays_is_noticed", &[], || {
        let sleep = find_program("sleep").ok_or("there is no sleep")?.canonicalize()?;
        let mut child = std::process::Command::new(&sleep).arg("60").spawn()?;
        let own = std::path::PathBuf::from(format!("/proc/{}", child.id()));
        let noticed =
            wait_until("it is seen", Duration::from_secs(5), || left(&sleep).contains(&own));
        child.kill()?;
        child.wait()?;
        noticed
    }));
    trials.push(trial("made_up_todo_is_recognised", &[NS], || match judged("starter")? {
        Err(Verdict::NotDone(text)) if text.contains("todo!()") => Ok(()),
        other => Err(format!("{other:?}").into()),
    }));
    trials
}

fn made_up() -> Result<Exercise, Failed> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/course/fixtures");
    Ok(exercise::read(&dir.join("chapters/90-made-up/exercises/2-own-name"))?)
}

fn judged(program: &str) -> Result<Judgement, Failed> {
    Ok(judgement(&made_up()?, check::check, &built(&format!("90-2-{program}"))?))
}

/// Two at one point: each waits for its own answer.
fn points(attempt: &mut Attempt) -> Judgement {
    let mut running = attempt.start(&["one"])?;
    let both = [running.until("here")?, running.until("here")?];
    let [program, child] = match both[0].pid == running.pid() {
        true => both,
        false => [both[1].clone(), both[0].clone()],
    };
    assert_eq!(program.pid, running.pid());
    assert_eq!(look::children(program.pid), [child.pid]);
    running.go(&program);
    assert!(!look::link(child.pid, "exe").is_empty(), "the child went on, too");
    running.go(&child);
    let over = running.until("over")?;
    assert_eq!(over.pid, program.pid);
    running.go(&over);
    // Once more is once too often, and harmless.
    running.go(&child);
    let ended = running.end()?;
    assert_eq!(ended.status.code(), Some(3));
    Ok("all of it".into())
}

/// Waits for what never comes.
fn never(attempt: &mut Attempt) -> Judgement {
    attempt.start(&["one"])?.until("nowhere")?;
    Ok("it came".into())
}
