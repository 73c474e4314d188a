use course::judge::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Once the container ends by itself, once it is killed.
pub fn check(attempt: &mut Attempt) -> Judgement {
    let (mut run, container) = running(attempt)?;
    run.go(&container);
    status(run.end()?, 0)?;

    let (run, container) = running(attempt)?;
    // If it is gone, then without the right status.
    let _ = kill(container.pid, Signal::SIGKILL);
    status(run.end()?, 137)?;
    Ok("the orphan has found a parent, and that one knows how it ended".into())
}

/// Until the runtime is gone, and the container is somebody else's.
fn running(attempt: &mut Attempt) -> Result<(Running, Stopped), Verdict> {
    let mut run = attempt.start(&[])?;
    let container = run.until("running")?;
    let monitor = run.pid().to_string();
    let parent = || look::field(container.pid, "PPid");
    if !run.wait_until(|| parent() == monitor) {
        return Err(wrong(
            "not-yours",
            format!("the container's parent is process {}", parent()),
            format!("the monitor, process {monitor}"),
            "grep PPid /proc/PID/status, or ps -o pid,ppid,args",
        ));
    }
    let zombies = || look::children(run.pid()).into_iter().filter(|&pid| is_zombie(pid)).count();
    if !run.wait_until(|| zombies() == 0) {
        return Err(wrong(
            "zombies",
            format!("{} of the monitor's children are zombies", zombies()),
            "one child: the container",
            "ps -o pid,ppid,stat,args",
        ));
    }
    Ok((run, container))
}

fn is_zombie(pid: Pid) -> bool {
    look::field(pid, "State").starts_with('Z')
}

fn status(ended: Ended, code: i32) -> Result<(), Verdict> {
    match ended.status.code() == Some(code) {
        true => Ok(()),
        false => {
            let expected = format!("exit status {code}, as the container's");
            Err(wrong("status", ended.status.to_string(), expected, "echo $?"))
        }
    }
}
