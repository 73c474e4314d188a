use std::fs::{File, read_dir, read_to_string};
use std::io::Read;

use course::judge::*;

/// A run, three that are killed half-way, and one more.
pub fn check(attempt: &mut Attempt) -> Judgement {
    let dir = attempt.scratch().to_owned();
    let path = dir.join("state");
    let state = || read_to_string(&path).unwrap_or_default();
    to_its_end(attempt)?;
    whole("after one run", &state(), "1\n1\n")?;
    let mut reader = File::open(&path).map_err(|error| Verdict::NotDone(error.to_string()))?;
    for _ in 0..3 {
        let mut run = attempt.start(&[])?;
        run.until("half")?;
        whole("while the next run writes", &state(), "1\n1\n")?;
        drop(run);
        whole("after it was killed", &state(), "1\n1\n")?;
    }
    to_its_end(attempt)?;
    whole("after three crashes and one more run", &state(), "2\n2\n")?;
    let mut old = String::new();
    let _ = reader.read_to_string(&mut old);
    if old != "1\n1\n" {
        let observed = format!("who had opened the file before reads {old:?} now");
        let expected = "\"1\\n1\\n\": the old one, whole";
        return Err(wrong("in-place", observed, expected, "ls -i state, before and after"));
    }
    let files = read_dir(&dir).map_or(0, Iterator::count);
    if files > 2 {
        let observed = format!("{files} files after three crashes");
        return Err(wrong("piles-up", observed, "two at most", "ls -l"));
    }
    Ok("whole at each moment, and nothing piles up".into())
}

fn to_its_end(attempt: &mut Attempt) -> Result<(), Verdict> {
    let mut run = attempt.start(&[])?;
    let half = run.until("half")?;
    run.go(&half);
    run.end().map(drop)
}

fn whole(when: &str, observed: &str, expected: &str) -> Result<(), Verdict> {
    match observed == expected {
        true => Ok(()),
        false => Err(wrong(
            "half",
            format!("{when}, the file says {observed:?}"),
            format!("{expected:?}"),
            "cat state",
        )),
    }
}
