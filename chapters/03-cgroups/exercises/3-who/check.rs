use course::judge::*;
use nix::unistd::Pid;

/// Each worker when it runs again: is its limit the right one?
pub fn check(attempt: &mut Attempt) -> Judgement {
    let mut run = attempt.start(&[])?;
    for (name, mib, hint) in [("eater", 128, "too-little"), ("victim", 32, "too-much")] {
        let worker = run.until(name)?;
        let limit = limit(worker.pid);
        if limit != Some(mib << 20) {
            return Err(wrong(
                hint,
                format!("{name} runs again with a limit of {limit:?} bytes"),
                format!("{mib} MiB, which is {}", mib << 20),
                "cat /proc/PID/cgroup, and the memory limit in that directory",
            ));
        }
        run.go(&worker);
    }
    run.end()?;
    Ok("more memory for the one that lacked it, and not for the other".into())
}

/// The memory limit of the cgroup that a process is in, on a host of either version.
fn limit(pid: Pid) -> Option<u64> {
    let lines = look::read(pid, "cgroup");
    let of = |name: &str| lines.lines().find_map(|line| line.split_once(name).map(|l| l.1));
    let file = match of(":memory:") {
        Some(path) => format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"),
        None => format!("/sys/fs/cgroup{}/memory.max", of("0::")?),
    };
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}
