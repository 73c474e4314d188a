use course::judge::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Kills the supervisor at three moments; each time the worker has to end.
pub fn check(attempt: &mut Attempt) -> Judgement {
    newborn(attempt)?;
    let mut run = attempt.start(&[])?;
    let worker = run.until("born")?;
    run.go(&worker);
    let supervisor = run.until("prepares")?;
    kill_it(supervisor.pid)?;
    ends(&run, worker.pid, "gate", "at its gate")?;
    drop(run);
    working(attempt)?;
    Ok("newborn, at its gate, or at work: the worker ends with its supervisor".into())
}

/// What it asks the kernel for comes too late then: only the gate can tell it.
fn newborn(attempt: &mut Attempt) -> Result<(), Verdict> {
    let mut run = attempt.start(&[])?;
    let worker = run.until("born")?;
    let supervisor = run.until("prepares")?;
    kill_it(supervisor.pid)?;
    run.until("over")?;
    run.go(&worker);
    ends(&run, worker.pid, "gate", "newborn")
}

fn working(attempt: &mut Attempt) -> Result<(), Verdict> {
    let mut run = attempt.start(&[])?;
    let worker = run.until("born")?;
    run.go(&worker);
    let supervisor = run.until("prepares")?;
    run.go(&supervisor);
    let worker = run.until("working")?;
    kill_it(supervisor.pid)?;
    ends(&run, worker.pid, "alone", "at work")
}

/// Who answers at a checkpoint is a process of this attempt, and still there.
fn kill_it(supervisor: Pid) -> Result<(), Verdict> {
    kill(supervisor, Signal::SIGKILL).map_err(|errno| Verdict::NotDone(errno.to_string()))
}

fn ends(run: &Running, worker: Pid, hint: &'static str, when: &str) -> Result<(), Verdict> {
    let gone = || {
        let state = look::field(worker, "State");
        state.is_empty() || state.starts_with('Z')
    };
    if run.wait_until(gone) {
        return Ok(());
    }
    Err(wrong(
        hint,
        format!("the supervisor was killed while the worker was {when}, and the worker lives on"),
        "it ends with its supervisor",
        "pgrep -af worker",
    ))
}
