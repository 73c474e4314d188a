use course::judge::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Signals go to the supervisor; the service has to hear them. Then the service is killed.
pub fn check(attempt: &mut Attempt) -> Judgement {
    let (mut run, service) = serving(attempt)?;
    run.go(&service);
    for (signal, point) in [(Signal::SIGHUP, "settings"), (Signal::SIGTERM, "tidy")] {
        send(run.pid(), signal);
        let heard = run.until(point)?;
        run.go(&heard);
    }
    let status = run.end()?.status;
    if status.code() != Some(7) {
        let expected = "exit status 7: with that the service ended, after SIGTERM";
        return Err(wrong("status", status.to_string(), expected, "echo $?"));
    }

    let (run, service) = serving(attempt)?;
    send(service.pid, Signal::SIGKILL);
    let status = run.end()?.status;
    if status.code() != Some(137) {
        let expected = "exit status 137: the service was killed by signal 9";
        return Err(wrong("killed", status.to_string(), expected, "kill -9 SERVICE; echo $?"));
    }
    Ok("the service hears what its supervisor is told, and the supervisor ends as it ends".into())
}

fn serving(attempt: &mut Attempt) -> Result<(Running, Stopped), Verdict> {
    let mut run = attempt.start(&[])?;
    let service = run.until("serving")?;
    if service.pid == run.pid() {
        return Err(wrong(
            "alone",
            "the program has become the service: there is one process",
            "a supervisor, and the service as its child",
            "ps -o pid,ppid,args",
        ));
    }
    Ok((run, service))
}

/// It may be gone already: what is missing is seen at the next point.
fn send(pid: Pid, signal: Signal) {
    let _ = kill(pid, signal);
}
