use course::judge::*;
use nix::unistd::Pid;

/// Where the job, the program and the helper are.
pub fn check(attempt: &mut Attempt) -> Judgement {
    let mut run = attempt.start(&[])?;
    let job = run.until("job")?;
    let own = place(job.pid);
    let max = std::fs::read_to_string(format!("/sys/fs/cgroup{own}/memory.max"));
    let max = max.unwrap_or_default();
    let Some(container) = own.strip_suffix("/job").filter(|_| max.trim() == "67108864") else {
        return Err(wrong(
            "no-limit",
            format!("the job is in {own}, where memory.max says {:?}", max.trim()),
            "it is in container/job, with a limit of 67108864",
            "cat /proc/PID/cgroup of the job",
        ));
    };
    let mut others = look::children(run.pid());
    others.retain(|pid| *pid != job.pid);
    if others.is_empty() {
        return Err(Verdict::NotDone("the helper does not live any more".into()));
    }
    for pid in others.iter().chain([&run.pid()]) {
        let place = place(*pid);
        if place.strip_prefix(container).is_none_or(|below| !below.starts_with('/')) {
            return Err(wrong(
                "outside",
                format!("a process is in {place}"),
                format!("below {container}, so that the limit of 128 MiB holds for it"),
                "cat /proc/PID/cgroup of the program and of its helper",
            ));
        }
    }
    run.go(&job);
    run.end()?;
    Ok("the job has its limit, and nobody has left the container".into())
}

fn place(pid: Pid) -> String {
    let lines = look::read(pid, "cgroup");
    let line = lines.lines().find_map(|line| line.strip_prefix("0::"));
    line.unwrap_or_default().to_owned()
}
