use course::judge::*;
use nix::unistd::Pid;

/// One that does not listen, with a patience of 2 seconds; one that does, with a minute.
pub fn check(attempt: &mut Attempt) -> Judgement {
    stubborn(attempt)?;
    polite(attempt)?;
    Ok("asked first, and killed only who did not listen, and nobody waited in vain".into())
}

fn stubborn(attempt: &mut Attempt) -> Result<(), Verdict> {
    let mut run = attempt.start(&["stubborn", "2"])?;
    let service = run.until("stubborn")?;
    run.go(&service);
    run.wait_until(|| asked(service.pid) || gone(service.pid));
    if !asked(service.pid) {
        let observed = match gone(service.pid) {
            true => "the service ended, and SIGTERM had never been pending there",
            false => "SIGTERM is not pending in the service",
        };
        let look = "grep ShdPnd /proc/PID/status: bit 15 is SIGTERM";
        return Err(wrong("not-asked", observed, "SIGTERM, and then time", look));
    }
    if !run.wait_until(|| gone(service.pid)) {
        let observed = "the service still runs, long after the 2 seconds";
        return Err(wrong("spared", observed, "SIGKILL after 2 seconds", "ps -o pid,stat,args"));
    }
    status(run.end()?, 137)
}

fn polite(attempt: &mut Attempt) -> Result<(), Verdict> {
    let mut run = attempt.start(&["polite", "60"])?;
    let service = run.until("polite")?;
    run.go(&service);
    let tidy = run.until("tidy")?;
    run.go(&tidy);
    if !run.wait_until(|| gone(run.pid())) {
        let observed = "the service has ended, and stop has not returned";
        return Err(wrong("in-vain", observed, "it returns at once", "ps -o pid,stat,args"));
    }
    status(run.end()?, 3)
}

fn status(ended: Ended, code: i32) -> Result<(), Verdict> {
    match ended.status.code() == Some(code) {
        true => Ok(()),
        false => {
            let expected = format!("exit status {code}, which stands for how the service ended");
            Err(wrong("status", ended.status.to_string(), expected, "echo $?"))
        }
    }
}

/// Whether SIGTERM waits there.
fn asked(pid: Pid) -> bool {
    let pending = |name| u64::from_str_radix(&look::field(pid, name), 16).unwrap_or(0);
    (pending("ShdPnd") | pending("SigPnd")) & (1 << (15 - 1)) != 0
}

fn gone(pid: Pid) -> bool {
    let state = look::field(pid, "State");
    state.is_empty() || state.starts_with(['Z', 'X'])
}
