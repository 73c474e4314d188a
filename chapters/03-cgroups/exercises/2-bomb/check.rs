use course::judge::*;
use nix::unistd::Pid;

/// The bomb, its children and the program: who is where, and what the limit did.
pub fn check(attempt: &mut Attempt) -> Judgement {
    let mut run = attempt.start(&[])?;
    let bomb = run.until("full")?;
    let max = file(bomb.pid, "pids.max");
    if max.parse::<u32>().is_ok_and(|max| max > 16) || max == "max" || max.is_empty() {
        return Err(wrong(
            "no-limit",
            format!("pids.max of the bomb's cgroup says {max:?}"),
            "16 or less",
            "cat /proc/PID/cgroup, and pids.max in that directory",
        ));
    }
    if place(run.pid()) == place(bomb.pid) {
        return Err(wrong(
            "itself",
            format!("the program is in {} too", place(bomb.pid)),
            "only the bomb and what it has started",
            "cat cgroup.procs of the bomb's cgroup",
        ));
    }
    let sleepers = look::children(bomb.pid);
    let outside = sleepers.iter().filter(|pid| place(**pid) != place(bomb.pid)).count();
    if outside > 0 || sleepers.len() >= 40 {
        return Err(wrong(
            "late",
            format!("{outside} of {} sleepers are outside of the bomb's cgroup", sleepers.len()),
            "all in it, from the bomb's first instruction on",
            "cat /proc/PID/cgroup of the sleepers",
        ));
    }
    run.go(&bomb);
    run.end()?;
    Ok(format!("{} sleepers instead of 40, all in one cgroup, and you outside", sleepers.len()))
}

/// The path of the cgroup that limits its processes.
fn place(pid: Pid) -> String {
    let lines = look::read(pid, "cgroup");
    let of = |name: &str| lines.lines().find_map(|line| line.split_once(name).map(|l| l.1));
    of(":pids:").or(of("0::")).unwrap_or_default().to_owned()
}

/// A file of that cgroup, on a host of either version.
fn file(pid: Pid, name: &str) -> String {
    let v1 = look::read(pid, "cgroup").contains(":pids:");
    let top = if v1 { "/sys/fs/cgroup/pids" } else { "/sys/fs/cgroup" };
    let text = std::fs::read_to_string(format!("{top}{}/{name}", place(pid)));
    text.unwrap_or_default().trim().to_owned()
}
