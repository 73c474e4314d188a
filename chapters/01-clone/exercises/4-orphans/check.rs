use course::judge::*;
use nix::unistd::Pid;

/// Two helpers come and go; then the service ends, by itself and by a signal.
pub fn check(attempt: &mut Attempt) -> Judgement {
    ends(attempt, "0", 7)?;
    ends(attempt, "KILL", 137)?;
    Ok("number 1 reaps its orphans, and ends with its service and the service's status".into())
}

fn ends(attempt: &mut Attempt, stop: &str, status: i32) -> Result<(), Verdict> {
    let scratch = attempt.scratch().to_owned();
    for name in ["helper-1", "helper-2", "stop"] {
        // There is none the first time.
        let _ = std::fs::remove_file(scratch.join(name));
    }
    let mut run = attempt.start(&[])?;
    let init = run.until("init")?;
    run.go(&init);
    let there = |name: &str| scratch.join(name).exists();
    run.wait_until(|| (there("helper-1") && there("helper-2")) || gone(init.pid));
    // Only the service is left, and it lives.
    run.wait_until(|| gone(init.pid) || look::children(init.pid).len() == 1);
    if gone(init.pid) {
        let expected = "it runs as long as the service";
        return Err(wrong("early", "number 1 ended before the service", expected, "ps -ef"));
    }
    let children = look::children(init.pid);
    let zombies = children.iter().filter(|&&pid| state(pid).starts_with('Z')).count();
    if zombies > 0 || children.len() != 1 {
        let observed = format!("{zombies} of the {} children of number 1 are zombies", children.len());
        return Err(wrong("zombies", observed, "one child, the service", "ps -o pid,ppid,stat,comm"));
    }
    std::fs::write(scratch.join("stop"), stop).map_err(|e| Verdict::NotDone(e.to_string()))?;
    let ended = run.end()?;
    if ended.status.code() != Some(status) {
        let observed = format!("exit status {}", ended.status);
        let expected = format!("exit status {status}, as the service's");
        return Err(wrong("status", observed, expected, "echo $?"));
    }
    Ok(())
}

fn state(pid: Pid) -> String {
    look::field(pid, "State")
}

fn gone(pid: Pid) -> bool {
    state(pid).is_empty() || state(pid).starts_with('Z')
}
